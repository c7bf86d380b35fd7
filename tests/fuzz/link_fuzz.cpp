// Fuzz target of a client's end: what a hostile server sends, over NULL or CURVE. Over NULL a slow, plain
// second reader must hear the same; over CURVE nothing may be heard but what the server said, in that order, as
// it would be over NULL. Any way to cut it is the same, and nothing is answered but a PING.
//
// An input: a byte of choices, how many cuts, as many bytes of distances between them; then over NULL what
// comes, behind the handshake where the choices say so, and over CURVE a row of steps (hostile_server.h).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/cuts.h"
#include "fuzz/engine.h"
#include "fuzz/hostile_server.h"
#include "fuzz/plain_reader.h"
#include "support/incoming_events.h"

namespace {

using hostile_server::Conversation;
using incoming_events::Incoming;
using incoming_events::Listener;
using incoming_events::PeerFault;
using incoming_events::SocketType;

constexpr unsigned in_traffic = 1;  // choices
constexpr unsigned as_req = 2;
constexpr unsigned over_curve = 4;
constexpr uint64_t most_memory = 64 * 1024;

std::string told(PeerFault fault, std::string_view reason = {}) {
    return "fault " + std::to_string(static_cast<int>(fault)) + " " + std::string(reason);
}

class PlainReader : public fuzz_plain::TrafficReader {
public:
    explicit PlainReader(std::string_view text) : TrafficReader(text) {}

    std::string sent;

private:
    bool malformed() override { return end(told(PeerFault::malformed)); }
    bool may_command(uint64_t) override { return true; }
    void pong() override {}
    void ping(unsigned, std::string_view context) override { sent += zmtp_events::pong(context); }
    bool refused(std::string_view reason) override {
        std::string printable;
        for (const char each : reason) printable += each >= ' ' && each <= '~' ? each : '?';
        return end(told(PeerFault::refused_by_peer, printable));
    }
    bool frame(uint64_t size, std::string_view body, bool more) override {
        if (body.size() < size) return size <= most_memory ? false : end(told(PeerFault::no_memory));
        log += "frame " + std::to_string(size) + (more ? " more: " : ": ") + zmtp_events::shown(body) + "\n";
        return true;
    }
};

struct Heard {
    std::string log, sent;
    bool wrong;
    bool operator==(const Heard& other) const {
        return log == other.log && sent == other.sent && !wrong && !other.wrong;
    }
};

Heard heard(const std::vector<std::string_view>& parts, SocketType own, bool directly) {
    Listener listener(own, most_memory);
    for (const std::string_view part : parts) {
        listener.hear(part, directly);
        if (listener.is_over()) break;
    }
    return {listener.log, listener.sent, listener.wrong};
}

class Check {
public:
    Check(const char* data, size_t size) : data_(data), size_(size) {}

    // True where the handshake was over.
    bool run() const {
        const unsigned choices = static_cast<unsigned char>(data_[0]);
        std::string_view rest(data_ + 2, size_ - 2);
        const size_t cuts = static_cast<unsigned char>(data_[1]) % (fuzz_cuts::most_cuts + 1);
        const std::string_view distances = rest.substr(0, cuts);
        rest.remove_prefix(distances.size());
        const SocketType own = (choices & as_req) != 0 ? SocketType::req : SocketType::dealer;
        if ((choices & over_curve) != 0) return over_keys(rest, distances, own);
        return in_the_clear(rest, distances, own, (choices & in_traffic) != 0);
    }

private:
    void demand(bool holds, const char* what) const { fuzz_engine::require(holds, what); }

    bool in_the_clear(std::string_view rest, std::string_view distances, SocketType own, bool traffic) const {
        std::string text = traffic ? zmtp_events::opening("ROUTER") : std::string();
        text += rest;
        const Heard whole = heard({text}, own, false);
        const bool bytewise = distances.empty() && text.size() < 400;
        const auto parts = fuzz_cuts::parts_of(text, bytewise ? "\1" : distances);
        for (const bool directly : {false, true})
            demand(whole == heard(parts, own, directly), "a client hears something else in parts");
        if (traffic) {
            PlainReader second(rest);
            demand(whole.log == "ready\n" + second.events(), "the two readers hear different things");
            demand(whole.sent == second.sent, "a client answers something else");
        }
        return whole.log.compare(0, 5, "ready") == 0;
    }

    bool over_keys(std::string_view steps, std::string_view distances, SocketType own) const {
        const Conversation whole(steps, {}, own, false);
        for (const bool directly : {false, true}) {
            const Conversation in_parts(steps, distances.empty() ? "\13" : distances, own, directly);
            demand(whole.log == in_parts.log && whole.sent == in_parts.sent, "a client hears something else in parts");
        }
        demand(!whole.wrong, "a frame is lost, or said to be what it is not");
        demand(!whole.mistaken, "the server takes the client for another");
        demand(whole.is_heard_right(), "what is heard was not said, or not in that order");
        demand(whole.is_answered_right, "a client answers something else");
        return whole.log.compare(0, 5, "ready") == 0;
    }

    const char* const data_;
    const size_t size_;
};

bool check(const char* data, size_t size) { return size >= 2 && Check(data, size).run(); }

}  // namespace

fuzz_engine::Target fuzz_engine::target() {
    using namespace hostile_server;
    using namespace zmtp_events;
    using fuzz_steps::steps;
    const std::string delimiter = zmtp_events::frame("", true), handshake = steps({honest, honest, honest});
    return {check,
            "through the handshake",
            {bytes("\0"), bytes("\1"), bytes("\2"), "\4", "\6", "\xFF", greeting(), ready("ROUTER"), "\5READY",
             property("Socket-Type", "ROUTER"), command("\5ERROR\3no!"), ping(3), ping(0, "context"),
             command("\4PONG"), delimiter, zmtp_events::frame("{}"), long_frame(""), long_header(2, 300),
             long_header(3, UINT64_C(1) << 62), handshake, steps({says, 1, 2}), steps({says, 0, 255}),
             steps({commands, 0, 4}), steps({commands, 1, 0}), steps({change, 0, 9, 1}), steps({cut, 0, 9}),
             steps({longer, 1}), steps({repeat}), steps({drop}), steps({foreign, 2, 4, 0})},
            {bytes("\1\2\3\7") + delimiter + zmtp_events::frame("{}"),
             bytes("\0\1\12") + opening("ROUTER") + delimiter + zmtp_events::frame("{}"),
             bytes("\4\1\12") + handshake + steps({says, 1, 0, says, 0, 3, commands, 0, 4, says, 0, 220}),
             bytes("\6\0") + handshake + steps({says, 0, 3, change, 0, 20, 1}),
             bytes("\4\0") + steps({honest, honest, change, 0, 40, 1, honest}),
             bytes("\4\1\100") + handshake + steps({says, 0, 250, repeat, says, 0, 1, drop, says, 0, 2})}};
}
