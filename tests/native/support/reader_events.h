// What a MessageReader makes of bytes, as text with a line for each event.
#ifndef LAPLACE_TESTS_READER_EVENTS_H
#define LAPLACE_TESTS_READER_EVENTS_H

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "support/zmtp_events.h"
#include "transport/message.h"
#include "transport/message_reader.h"

namespace reader_events {

using laplace::Message;
using laplace::MessageReader;
using Event = MessageReader::Event;

class Listener {
public:
    explicit Listener(const MessageReader::Limits& limits) : reader(limits) {}

    // Gives it bytes until they are used; each call sees a copy of exactly that size. With `directly`, what
    // it has room for is put there, as by who reads a socket.
    void hear(std::string_view given, bool directly = false) {
        arrived += given.size();
        if (directly) {
            for (;;) {
                const MessageReader::Room room = reader.room();
                const size_t size = std::min(room.size, given.size());
                if (size == 0) break;
                std::memcpy(room.begin, given.data(), size);
                reader.received(size);
                given.remove_prefix(size);
                hear_all({});
            }
        }
        hear_all(given);
    }

    bool is_over() const { return over; }

    MessageReader reader;
    std::string log;   // a line for each event
    std::string sent;  // what is to be sent because of them
    std::vector<Message> taken;
    size_t arrived = 0;  // bytes
    size_t most_held_beyond = 0;  // memory above twice what arrived
    bool takes_bodies = false;
    bool wrong = false;  // it left bytes over, or handed out something else than it said

private:
    void hear_all(std::string_view given) {
        const std::vector<char> exact(given.begin(), given.end());
        const char* at = exact.data();
        const char* const end = at + exact.size();
        while (tell(reader.next(at, end))) note_memory();
        note_memory();
        if (!over && at != end) wrong = true;
    }

    void note_memory() {
        const size_t held = reader.held();
        if (held > 2 * arrived) most_held_beyond = std::max(most_held_beyond, held - 2 * arrived);
    }

    void tell_route() { log.append(" [").append(zmtp_events::shown(reader.route())).append("]"); }

    // Whether there may be another event.
    bool tell(Event event) {
        switch (event) {
            case Event::need_more: return false;
            case Event::ready: log += "ready"; break;
            case Event::ping: log.append("ping ").append(std::to_string(reader.conversation().ping_ttl())); break;
            case Event::pong: log += "pong"; break;
            case Event::message:
                log.append("message of ").append(std::to_string(reader.bytes()));
                tell_route();
                if (reader.one_frame()) {
                    log.append(" ").append(zmtp_events::shown(reader.body()));
                } else {
                    log += ", not one frame";
                    if (!reader.body().empty()) wrong = true;
                }
                if (takes_bodies) take();
                break;
            case Event::no_delimiter: log.append("no_delimiter of ").append(std::to_string(reader.bytes())); break;
            case Event::too_large:
                log += "too_large";
                tell_route();
                break;
            case Event::too_many_frames:
                log += "too_many_frames";
                tell_route();
                break;
            case Event::too_long_route:
                log += "too_long_route";
                tell_route();
                break;
            case Event::no_memory: log += "no_memory"; break;
            case Event::fault:
                log.append("fault ").append(zmtp_events::name_of(reader.conversation().fault()));
                break;
        }
        if (event == Event::ready || event == Event::ping || event == Event::fault)
            sent.append(reader.conversation().to_send());
        log += '\n';
        over = event >= Event::too_large;
        return !over;
    }

    void take() {
        const std::string body(reader.body());
        Message message;
        if (!reader.take_body(message) || message.view() != body || reader.body() != body) wrong = true;
        taken.push_back(std::move(message));
    }

    bool over = false;
};

// The events of bytes behind the handshake of a REQ, in one piece.
inline std::string events_of(std::string_view given, const MessageReader::Limits& limits = {}) {
    Listener listener(limits);
    listener.hear(zmtp_events::opening("REQ"));
    listener.log.clear();
    listener.hear(given);
    return listener.log;
}

}  // namespace reader_events

#endif
