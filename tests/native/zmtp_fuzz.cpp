// Fuzz target of the wire: a slow, plain second reader must hear the same messages, any way to cut the
// same, and memory must stay in proportion to what has come. With libFuzzer as it is; with
// FUZZ_STANDALONE defined it has a main() (support/fuzz_engine.h).
//
// An input: a byte of choices, how many cuts, as many bytes of distances between them, then what a peer
// sends; behind its handshake where the choices say so.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/fuzz_engine.h"
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
constexpr size_t most_cuts = 15;

// ---- the second reader: of traffic, all at once

class PlainReader {
public:
    PlainReader(std::string_view text, const Limits& limits) : text_(text), limits_(limits) {}

    std::string events() {
        while (frame()) {
        }
        return log_;
    }

private:
    static unsigned byte(char character) { return static_cast<unsigned char>(character); }

    bool end(const char* event, bool with_route = false) {
        log_ += event;
        if (with_route) log_ += " [" + (delimited_ ? zmtp_events::shown(route_) : "") + "]";
        log_ += '\n';
        return false;
    }

    // False: no other follows.
    bool frame() {
        if (text_.empty()) return false;
        const unsigned flags = byte(text_[0]);
        if (flags > 7 || (flags & 5) == 5) return end("fault malformed");
        const size_t header = (flags & 2) != 0 ? 9 : 2;
        if (text_.size() < header) return false;
        uint64_t size = 0;
        for (size_t i = 1; i < header; ++i) size = size * 256 + byte(text_[i]);
        if (size > INT64_MAX) return end("fault malformed");
        text_.remove_prefix(header);
        const std::string_view body = text_.substr(0, static_cast<size_t>(size < SIZE_MAX ? size : SIZE_MAX));
        if (!((flags & 4) != 0 ? command(size, body) : part(size, body, (flags & 1) != 0))) return false;
        if (body.size() < size) return false;
        text_.remove_prefix(body.size());
        return true;
    }

    bool command(uint64_t size, std::string_view body) {
        if (size == 0) return end("fault malformed");
        if (size > limits_.max_bytes) return end("too_large", true);
        if (body.empty()) return false;
        const size_t name_size = byte(body[0]);
        if (name_size == 0 || name_size >= size) return end("fault malformed");
        const uint64_t data_size = size - 1 - name_size;
        if (name_size > 5) return true;
        if (body.size() < 1 + name_size) return false;
        const std::string_view name = body.substr(1, name_size), data = body.substr(1 + name_size);
        if (name == "PONG") log_ += "pong\n";
        if (name == "PING") {
            if (data_size < 2) return end("fault malformed");
            if (data.size() < (data_size < 18 ? data_size : 18)) return false;
            log_ += "ping " + std::to_string(byte(data[0]) * 256 + byte(data[1])) + "\n";
        }
        if (name == "ERROR") {
            if (data_size == 0) return end("fault malformed");
            if (data.empty()) return false;
            if (byte(data[0]) != data_size - 1) return end("fault malformed");
            const size_t needed = data_size - 1 < 44 ? static_cast<size_t>(data_size) : 45;
            return data.size() < needed ? false : end("fault refused_by_peer");
        }
        return true;
    }

    bool part(uint64_t size, std::string_view body, bool more) {
        if (size > limits_.max_bytes - bytes_) return end("too_large", true);
        if (count_ == limits_.max_frames) return end("too_many_frames", true);
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
        log_ += (delimited_ ? "message of " : "no_delimiter of ") + std::to_string(bytes_);
        if (delimited_) {
            log_ += " [" + zmtp_events::shown(route_) + "]";
            log_ += bodies_ == 1 ? " " + zmtp_events::shown(body_) : ", not one frame";
        }
        log_ += '\n';
        bytes_ = count_ = bodies_ = 0;
        delimited_ = false;
        route_.clear();
        return true;
    }

    std::string_view text_;
    const Limits limits_;
    std::string log_, route_;
    std::string_view body_;
    bool delimited_ = false;
    size_t bytes_ = 0, count_ = 0, bodies_ = 0;
};

// ---- what must hold

std::vector<std::string_view> parts_of(std::string_view text, std::string_view distances) {
    std::vector<std::string_view> parts;
    size_t i = 0, without = 0;
    while (!text.empty() && !distances.empty() && without < distances.size()) {
        const size_t distance = static_cast<unsigned char>(distances[i++ % distances.size()]);
        without = distance == 0 ? without + 1 : 0;
        parts.push_back(text.substr(0, distance));
        text.remove_prefix(parts.back().size());
    }
    parts.push_back(text);
    return parts;
}

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
    const std::string_view distances = rest.substr(0, static_cast<unsigned char>(data[1]) % (most_cuts + 1));
    rest.remove_prefix(distances.size());
    const bool client = (choices & as_client) != 0;
    std::string text = (choices & in_traffic) != 0 ? zmtp_events::opening(client ? "ROUTER" : "REQ") : std::string();
    const size_t opening_size = text.size();
    text += rest;
    const auto demand = [=](bool holds, const char* what) { fuzz_engine::require(holds, what, data, size); };
    // Without distances, a text that is short enough comes byte by byte.
    const bool bytewise = distances.empty() && text.size() < 400;
    const std::vector<std::string_view> parts = parts_of(text, bytewise ? "\1" : distances);
    std::string log;
    if (client) {
        const Heard whole = read_by_client({text});
        demand(whole == read_by_client(parts), "a client hears something else in parts");
        log = whole.log;
    } else {
        Limits limits;
        if ((choices & narrow_limits) != 0) limits.max_bytes = 64, limits.max_frames = 4;
        const Heard whole = read_by_server({text}, limits, false);
        for (const bool directly : {false, true}) {
            const Heard in_parts = read_by_server(parts, limits, directly);
            demand(whole == in_parts, "a server hears something else in parts");
            demand(in_parts.held_beyond <= 4096, "more memory than has come");
        }
        demand(whole.held_beyond <= 4096, "more memory than has come");
        log = whole.log;
        if (opening_size != 0)
            demand(log == "ready\n" + PlainReader(rest, limits).events(), "the two readers hear different things");
    }
    return log.compare(0, 5, "ready") == 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    check(reinterpret_cast<const char*>(data), size);
    return 0;
}

#ifdef FUZZ_STANDALONE

int main(int argc, char** argv) {
    using namespace zmtp_events;
    std::string delimiter = frame("", true);
    return fuzz_engine::run(
        {check,
         "through the handshake",
         {bytes("\0"), bytes("\1"), bytes("\2"), bytes("\3"), "\4", "\6", "\x7F", "\x80", "\xFF", greeting(),
          ready("REQ"), ready("SUB"), "\5READY", property("Socket-Type", "DEALER"), property("Identity", "me"),
          command("\5ERROR\3no!"), ping(3), ping(0, "context"), command("\4PONG"), command("\11SUBSCRIBE"),
          delimiter, frame("{}"), frame("a", true), long_frame(""), long_header(2, 300),
          long_header(3, UINT64_C(1) << 62), long_header(6, 9), std::string(300, 'x')},
         {bytes("\1\2\3\7") + delimiter + frame("{}"), bytes("\0\1\12") + opening("REQ") + delimiter + frame("{}"),
          bytes("\4\1\12") + opening("ROUTER") + delimiter + frame("{}")}},
        argc, argv);
}

#endif
