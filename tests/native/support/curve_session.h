// One end of a whole connection over CURVE, as bytes in and bytes out: a server that says all messages back,
// and a client that says some and hears them again. For real sockets, and for what was recorded of them.
#ifndef LAPLACE_TESTS_CURVE_SESSION_H
#define LAPLACE_TESTS_CURVE_SESSION_H

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/curve_ends.h"
#include "zmtp/commands.h"
#include "zmtp/curve_client.h"
#include "zmtp/curve_server.h"
#include "zmtp/frames.h"

namespace curve_session {

using namespace curve_ends;
using Message = std::vector<std::string>;

inline const char* name_of(CurveFault fault) {
    switch (fault) {
        case CurveFault::none: return "none";
        case CurveFault::malformed: return "malformed";
        case CurveFault::wrong_server_key: return "wrong_server_key";
        case CurveFault::not_authentic: return "not_authentic";
        case CurveFault::replayed: return "replayed";
        case CurveFault::not_permitted: return "not_permitted";
        case CurveFault::socket_type: return "socket_type";
        case CurveFault::refused_by_peer: return "refused_by_peer";
        case CurveFault::unable: return "unable";
    }
    return "?";
}

class Session {
public:
    virtual ~Session() = default;

    // Bytes of the peer; what to send because of them is put to `sent`.
    void hear(std::string_view bytes) {
        come_.append(bytes);
        for (std::string body; !is_over() && next(body);) in_traffic_ ? frame(body) : command(body);
    }
    bool is_over() const { return fault_ != CurveFault::none || is_done_; }
    CurveFault fault() const { return fault_; }

    std::string sent, log;

protected:
    virtual Said step(const std::string& command) = 0;
    virtual CurveTraffic& traffic() = 0;
    virtual CurveFault step_fault() const = 0;
    virtual void ready() {}
    virtual void message(const Message& frames) = 0;
    virtual void pong(std::string_view) {}

    void say(const Message& frames) {
        for (size_t i = 0; i < frames.size(); ++i)
            sent += sealed(traffic(), i + 1 < frames.size() ? Kind::more : Kind::last, frames[i]);
    }
    void say_command(std::string_view body) { sent += sealed(traffic(), Kind::command, body); }
    void fail(CurveFault fault) {
        fault_ = fault;
        log.append("fault ").append(name_of(fault)).append("\n");
    }
    void done() { is_done_ = true; }

private:
    bool next(std::string& body) {
        using namespace laplace::zmtp;
        if (!greeted_) {
            if (come_.size() < greeting_size) return false;
            const std::string mechanism = come_.substr(12, 6);
            if (come_[0] != '\xFF' || come_[10] < 3 || mechanism != std::string("CURVE\0", 6)) {
                fail(CurveFault::malformed);
                return false;
            }
            come_.erase(0, greeting_size);
            greeted_ = true;
        }
        if (come_.empty()) return false;
        const unsigned flags = byte_of(come_[0]);
        const size_t header = (flags & flag_long) != 0 ? long_header : short_header;
        if (come_.size() < header) return false;
        const uint64_t size = header == long_header ? read_uint64(&come_[1]) : byte_of(come_[1]);
        if (come_.size() - header < size) return false;
        if ((flags & flag_more) != 0 || flags > all_flags || (!in_traffic_ && (flags & flag_command) == 0)) {
            fail(CurveFault::malformed);
            return false;
        }
        body = come_.substr(header, static_cast<size_t>(size));
        come_.erase(0, header + body.size());
        return true;
    }
    void command(const std::string& body) {
        const Said said = step(body);
        sent += said.frame;
        if (said.event == CurveEvent::fault) fail(step_fault());
        if (said.event != CurveEvent::ready) return;
        in_traffic_ = true;
        ready();
    }
    void frame(const std::string& body) {
        const Heard heard = opened(traffic(), body);
        if (heard.fault != CurveFault::none) return fail(heard.fault);
        if (heard.kind == Kind::command) {
            if (heard.text.compare(0, 5, "\4PING") == 0 && heard.text.size() >= 7)
                say_command("\4PONG" + heard.text.substr(7));
            if (heard.text.compare(0, 5, "\4PONG") == 0) pong(std::string_view(heard.text).substr(5));
            log.append("command ").append(heard.text.substr(1, 4)).append("\n");
            return;
        }
        frames_.push_back(heard.text);
        if (heard.kind == Kind::more) return;
        log.append("message");
        for (const std::string& each : frames_) log.append(" ").append(std::to_string(each.size()));
        log += '\n';
        message(std::exchange(frames_, {}));
    }

    std::string come_;
    Message frames_;
    bool greeted_ = false, in_traffic_ = false, is_done_ = false;
    CurveFault fault_ = CurveFault::none;
};

// Lets in who has `allowed`, or all; says each message back.
class Echo : public Session {
public:
    Echo(const KeyPair& keys, const PublicKey* allowed) : server_(keys), allowed_(allowed) {
        sent = laplace::zmtp::curve_greeting(true);
    }

private:
    Said step(const std::string& command) override {
        const Said said = curve_ends::hear(server_, command);
        if (said.event != CurveEvent::asks) return said;
        std::vector<char> out(1024);
        const bool is_allowed = allowed_ == nullptr || server_.client() == *allowed_;
        const CurveStep step = is_allowed ? server_.permit(out.data()) : server_.refuse(out.data());
        return {step.event, {out.data(), step.to_send}};
    }
    CurveTraffic& traffic() override { return server_.traffic(); }
    CurveFault step_fault() const override { return server_.fault(); }
    void ready() override { log.append("ready ").append(laplace::zmtp::name_of(server_.peer())).append("\n"); }
    void message(const Message& frames) override { say(frames); }

    CurveServer server_;
    const PublicKey* const allowed_;
};

// Says the messages, one after the answer to the other, and a PING at the end.
class Asker : public Session {
public:
    Asker(const KeyPair& keys, const PublicKey& server, SocketType own, std::vector<Message> messages)
        : client_(keys, server, own, "asker"), messages_(std::move(messages)) {
        sent = laplace::zmtp::curve_greeting(false);
        std::vector<char> out(1024);
        const CurveStep step = client_.begin(out.data());
        sent.append(out.data(), step.to_send);
        if (step.event == CurveEvent::fault) fail(client_.fault());
    }
    size_t echoed() const { return echoed_; }
    std::string_view reason() const { return client_.reason(); }

private:
    Said step(const std::string& command) override { return curve_ends::hear(client_, command); }
    CurveTraffic& traffic() override { return client_.traffic(); }
    CurveFault step_fault() const override { return client_.fault(); }
    void ready() override {
        log.append("ready ").append(laplace::zmtp::name_of(client_.peer())).append("\n");
        go_on();
    }
    void message(const Message& frames) override {
        if (echoed_ == messages_.size() || frames != messages_[echoed_]) return fail(CurveFault::not_authentic);
        ++echoed_;
        go_on();
    }
    void go_on() {
        if (echoed_ < messages_.size()) return say(messages_[echoed_]);
        say_command(std::string("\4PING\0\12context", 14));
    }
    void pong(std::string_view context) override {
        log.append("pong ").append(context).append("\n");
        done();
    }

    CurveClient client_;
    const std::vector<Message> messages_;
    size_t echoed_ = 0;
};

inline std::vector<Message> some_messages(const std::vector<size_t>& sizes) {
    std::vector<Message> messages;
    for (const size_t size : sizes) {
        std::string text;
        for (size_t i = 0; i < size; ++i) text += static_cast<char>(i * 7 + i / 256);
        messages.push_back({"", text});
    }
    messages.push_back({"", "several", "", "frames"});
    return messages;
}

}  // namespace curve_session

#endif
