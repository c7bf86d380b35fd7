// What a Conversation makes of bytes, as text with a line for each event: however they are cut, it
// must be the same. And bytes to give it.
#ifndef LAPLACE_TESTS_ZMTP_EVENTS_H
#define LAPLACE_TESTS_ZMTP_EVENTS_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "zmtp/commands.h"
#include "zmtp/conversation.h"
#include "zmtp/frames.h"

namespace zmtp_events {

using laplace::zmtp::Conversation;
using laplace::zmtp::Fault;
using laplace::zmtp::SocketType;
using Event = Conversation::Event;

// ---- bytes

// From a literal, zeros included.
template <size_t size>
std::string bytes(const char (&literal)[size]) {
    return std::string(literal, size - 1);
}

inline std::string frame(std::string_view body, bool more = false) {
    char header[laplace::zmtp::max_header];
    const char* const end = laplace::zmtp::encode_header(more, body.size(), header);
    return std::string(header, static_cast<size_t>(end - header)).append(body);
}

inline std::string long_header(char flags, uint64_t size) {
    std::string header(1, flags);
    for (int i = 0; i < 8; ++i) header += static_cast<char>(size >> (56 - 8 * i) & 0xFF);
    return header;
}

inline std::string long_frame(std::string_view body, bool more = false) {
    return long_header(more ? 3 : 2, body.size()).append(body);
}

inline std::string command(std::string_view body) {
    return std::string(1, 4).append(1, static_cast<char>(body.size())).append(body);
}

inline std::string property(std::string_view name, std::string_view value) {
    std::string text(1, static_cast<char>(name.size()));
    text.append(name);
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value.size() >> shift & 0xFF);
    return text.append(value);
}

inline std::string ready(std::string_view socket_type, std::string_view identity = {}) {
    std::string body = "\5READY" + property("Socket-Type", socket_type) + property("Identity", identity);
    return body.size() > 255 ? long_header(6, body.size()) + body : command(body);
}

inline std::string ping(unsigned ttl_tenths, std::string_view context = {}) {
    const char ttl[] = {static_cast<char>(ttl_tenths >> 8 & 0xFF), static_cast<char>(ttl_tenths & 0xFF)};
    return command(std::string("\4PING").append(ttl, 2).append(context));
}

// As RFC 37 has it: a context has at most 16 bytes.
inline std::string pong(std::string_view context = {}) {
    return command(std::string("\4PONG").append(context.substr(0, 16)));
}

inline std::string greeting() { return std::string(laplace::zmtp::greeting()); }

// What a peer sends up to its first frame.
inline std::string opening(std::string_view socket_type) { return greeting() + ready(socket_type); }

// ---- events

inline const char* name_of(Fault fault) {
    switch (fault) {
        case Fault::none: return "none";
        case Fault::not_zmtp: return "not_zmtp";
        case Fault::version: return "version";
        case Fault::mechanism: return "mechanism";
        case Fault::socket_type: return "socket_type";
        case Fault::malformed: return "malformed";
        case Fault::refused_by_peer: return "refused_by_peer";
    }
    return "?";
}

// Printable characters as they are, others as \x and two digits.
inline std::string shown(std::string_view text) {
    static const char digits[] = "0123456789abcdef";
    std::string result;
    for (const char character : text) {
        const unsigned byte = laplace::zmtp::byte_of(character);
        if (byte >= ' ' && byte <= '~' && byte != '\\') {
            result += character;
        } else {
            result.append("\\x").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
        }
    }
    return result;
}

class Listener {
public:
    explicit Listener(SocketType own) : conversation(own) {}

    // Goes on with bytes until they are used; each call sees a copy of exactly that size.
    void hear(std::string_view given) {
        const std::vector<char> exact(given.begin(), given.end());
        const char* at = exact.data();
        const char* const end = at + exact.size();
        while (tell(conversation.next(at, end))) {
        }
        if (conversation.fault() == Fault::none && at != end) wrong = true;
        used += static_cast<size_t>(at - exact.data());
    }

    Conversation conversation;
    std::string log;   // a line for each event
    std::string sent;  // what is to be sent because of them
    size_t used = 0;   // bytes
    bool wrong = false;  // it left bytes over

private:
    // Whether there may be another event.
    bool tell(Event event) {
        switch (event) {
            case Event::need_more: return false;
            case Event::ready: log.append("ready ").append(laplace::zmtp::name_of(conversation.peer())); break;
            case Event::frame:
                log.append("frame ").append(std::to_string(conversation.left()));
                log.append(conversation.more() ? " more: " : ": ");
                return true;
            case Event::piece:
                log.append(shown(conversation.piece()));
                if (conversation.left() == 0) log += '\n';
                return true;
            case Event::command: log.append("command ").append(std::to_string(conversation.left())); break;
            case Event::ping: log.append("ping ").append(std::to_string(conversation.ping_ttl())); break;
            case Event::pong: log.append("pong\n"); return true;
            case Event::fault:
                log.append("fault ").append(name_of(conversation.fault()));
                if (!conversation.reason().empty()) log.append(" ").append(conversation.reason());
                break;
        }
        const bool answers = event == Event::ready || event == Event::ping || event == Event::fault;
        if (answers) sent.append(conversation.to_send());
        log += '\n';
        return event != Event::fault;
    }
};

// The events of bytes that come in one piece.
inline std::string events_of(std::string_view given, SocketType own = SocketType::router) {
    Listener listener(own);
    listener.hear(given);
    return listener.log;
}

}  // namespace zmtp_events

#endif
