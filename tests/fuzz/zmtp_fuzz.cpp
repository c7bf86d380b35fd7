// Fuzz target of the wire: a slow, plain second reader must hear the same messages and answer the same, any
// way to cut the same, and memory must stay in proportion to what has come.
//
// An input: a byte of choices, how many cuts, as many bytes of distances between them, then what a peer
// sends; behind its handshake where the choices say so.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/cuts.h"
#include "fuzz/engine.h"
#include "fuzz/plain_reader.h"
#include "support/reader_events.h"
#include "support/zmtp_events.h"

namespace {

using laplace::MessageReader;
using zmtp_events::Fault;
using zmtp_events::SocketType;
using Limits = MessageReader::Limits;

constexpr unsigned in_traffic = 1;  // choices
constexpr unsigned narrow_limits = 2;
constexpr unsigned as_client = 4;

// ---- the second reader

class PlainReader : public fuzz_plain::TrafficReader {
public:
    PlainReader(std::string_view text, const Limits& limits) : TrafficReader(text), limits_(limits) {}

    std::string sent;

private:
    bool over(const char* event) {
        return end(std::string(event) + " [" + (delimited_ ? zmtp_events::shown(route_) : "") + "]");
    }
    bool malformed() override { return end("fault malformed"); }
    bool may_command(uint64_t size) override { return size <= limits_.max_bytes || over("too_large"); }
    void pong() override { log += "pong\n"; }
    void ping(unsigned ttl, std::string_view context) override {
        log += "ping " + std::to_string(ttl) + "\n";
        sent += zmtp_events::pong(context);
    }
    bool refused(std::string_view) override { return end("fault refused_by_peer"); }

    bool frame(uint64_t size, std::string_view body, bool more) override {
        if (size > limits_.max_bytes - bytes_) return over("too_large");
        if (count_ == limits_.max_frames) return over("too_many_frames");
        bytes_ += static_cast<size_t>(size);
        count_ += 1;
        if (body.size() < size) return false;
        if (delimited_) {
            bodies_ += 1;
            body_ = body;
        } else {
            route_ += zmtp_events::frame(body, true);
            delimited_ = body.empty();
        }
        if (more) return true;
        log += (delimited_ ? "message of " : "no_delimiter of ") + std::to_string(bytes_);
        if (delimited_) {
            log += " [" + zmtp_events::shown(route_) + "]";
            log += bodies_ == 1 ? " " + zmtp_events::shown(body_) : ", not one frame";
        }
        log += '\n';
        bytes_ = count_ = bodies_ = 0;
        delimited_ = false;
        route_.clear();
        return true;
    }

    const Limits limits_;
    std::string route_;
    std::string_view body_;
    bool delimited_ = false;
    size_t bytes_ = 0, count_ = 0, bodies_ = 0;
};

// ---- what must hold

struct Heard {
    std::string log, sent;
    size_t held_beyond;
    bool wrong;

    bool operator==(const Heard& other) const {
        return log == other.log && sent == other.sent && !wrong && !other.wrong;
    }
};

Heard read_by_server(const std::vector<std::string_view>& parts, const Limits& limits, bool directly) {
    reader_events::Listener listener(limits);
    listener.takes_bodies = directly;
    for (const std::string_view part : parts) {
        listener.hear(part, directly);
        if (listener.is_over()) break;
    }
    return {listener.log, listener.sent, listener.most_held_beyond, listener.wrong};
}

Heard read_by_client(const std::vector<std::string_view>& parts) {
    zmtp_events::Listener listener(SocketType::dealer);
    for (const std::string_view part : parts) {
        listener.hear(part);
        if (listener.conversation.fault() != Fault::none) break;
    }
    return {listener.log, listener.sent, 0, listener.wrong};
}

// True where the handshake was over.
bool check(const char* data, size_t size) {
    if (size < 2) return false;
    const unsigned choices = static_cast<unsigned char>(data[0]);
    std::string_view rest(data + 2, size - 2);
    const std::string_view distances = rest.substr(0, static_cast<unsigned char>(data[1]) % (fuzz_cuts::most_cuts + 1));
    rest.remove_prefix(distances.size());
    const bool client = (choices & as_client) != 0;
    std::string text = (choices & in_traffic) != 0 ? zmtp_events::opening(client ? "ROUTER" : "REQ") : std::string();
    const size_t opening_size = text.size();
    text += rest;
    // Without distances, a text that is short enough comes byte by byte.
    const bool bytewise = distances.empty() && text.size() < 400;
    const std::vector<std::string_view> parts = fuzz_cuts::parts_of(text, bytewise ? "\1" : distances);
    std::string log;
    if (client) {
        const Heard whole = read_by_client({text});
        fuzz_engine::require(whole == read_by_client(parts), "a client hears something else in parts");
        log = whole.log;
    } else {
        Limits limits;
        if ((choices & narrow_limits) != 0) limits.max_bytes = 64, limits.max_frames = 4;
        const Heard whole = read_by_server({text}, limits, false);
        for (const bool directly : {false, true}) {
            const Heard in_parts = read_by_server(parts, limits, directly);
            fuzz_engine::require(whole == in_parts, "a server hears something else in parts");
            fuzz_engine::require(in_parts.held_beyond <= 4096, "more memory than has come");
        }
        fuzz_engine::require(whole.held_beyond <= 4096, "more memory than has come");
        log = whole.log;
        if (opening_size != 0) {
            PlainReader second(rest, limits);
            fuzz_engine::require(log == "ready\n" + second.events(), "the two readers hear different things");
            fuzz_engine::require(whole.sent == zmtp_events::ready("ROUTER") + second.sent, "a server answers something else");
        }
    }
    return log.compare(0, 5, "ready") == 0;
}

}  // namespace

fuzz_engine::Target fuzz_engine::target() {
    using namespace zmtp_events;
    const std::string delimiter = frame("", true);
    return {check,
            "through the handshake",
            {bytes("\0"), bytes("\1"), bytes("\2"), bytes("\3"), "\4", "\6", "\x7F", "\x80", "\xFF", greeting(),
             ready("REQ"), ready("SUB"), "\5READY", property("Socket-Type", "DEALER"), property("Identity", "me"),
             command("\5ERROR\3no!"), ping(3), ping(0, "context"), command("\4PONG"), command("\11SUBSCRIBE"),
             delimiter, frame("{}"), frame("a", true), long_frame(""), long_header(2, 300),
             long_header(3, UINT64_C(1) << 62), long_header(6, 9), std::string(300, 'x')},
            {bytes("\1\2\3\7") + delimiter + frame("{}"), bytes("\0\1\12") + opening("REQ") + delimiter + frame("{}"),
             bytes("\4\1\12") + opening("ROUTER") + delimiter + frame("{}")}};
}
