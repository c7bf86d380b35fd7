// What an Incoming makes of bytes, as text with a line for each event.
#ifndef LAPLACE_TESTS_INCOMING_EVENTS_H
#define LAPLACE_TESTS_INCOMING_EVENTS_H

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/incoming.h"
#include "support/zmtp_events.h"

namespace incoming_events {

using laplace::Incoming;
using laplace::IncomingEvent;
using laplace::IncomingRoom;
using laplace::PeerFault;
using zmtp_events::SocketType;

class Listener {
public:
    // Frames of more than `most_memory` bytes have none.
    explicit Listener(SocketType own, uint64_t most_memory = uint64_t{1} << 30, laplace::CurveLink* link = nullptr)
        : incoming(own, link), most_(most_memory) {}

    // Gives it bytes until they are used; each call sees a copy of exactly that size. With `directly`, what
    // it has room for is put there, as by who reads a socket.
    void hear(std::string_view given, bool directly = false) {
        if (directly) {
            for (;;) {
                const IncomingRoom room = incoming.room();
                const size_t size = std::min(room.size, given.size());
                if (size == 0) break;
                std::memcpy(room.begin, given.data(), size);
                incoming.received(size);
                went_directly += size;
                given.remove_prefix(size);
                hear_all({});
                if (is_over()) return;
            }
        }
        hear_all(given);
    }
    bool is_over() const { return incoming.fault() != PeerFault::none; }

    Incoming incoming;
    std::string log;   // a line for each event; frames as they become whole
    std::string sent;  // what is to be sent because of them
    size_t went_directly = 0;
    uint64_t announced = 0;  // the largest frame that had to have memory
    bool wrong = false;      // it left bytes over, or lost a frame

private:
    void hear_all(std::string_view given) {
        std::vector<char> exact(given.begin(), given.end());
        char* at = exact.data();
        char* const end = at + exact.size();
        while (tell(incoming.next(at, end))) {
        }
        if (!is_over() && at != end) wrong = true;
    }

    void tell_frame(std::string_view frame) {
        log.append("frame ").append(std::to_string(frame.size())).append(incoming.more() ? " more: " : ": ");
        log.append(zmtp_events::shown(frame)).append("\n");
    }

    // Whether there may be another event.
    bool tell(IncomingEvent event) {
        switch (event) {
            case IncomingEvent::need_more: return false;
            case IncomingEvent::ready: log += "ready\n"; break;
            case IncomingEvent::frame: tell_frame(incoming.whole()); break;
            case IncomingEvent::begin:
                if (memory_ != nullptr || incoming.size() == 0) wrong = true;
                announced = std::max(announced, incoming.size());
                if (incoming.size() > most_) {
                    incoming.give_up();
                    break;
                }
                size_ = static_cast<size_t>(incoming.size());
                memory_.reset(new char[size_]);  // of exactly that size, for sanitizers
                incoming.put_into(memory_.get());
                break;
            case IncomingEvent::end:
                if (memory_ == nullptr) wrong = true;
                tell_frame({memory_.get(), size_});
                memory_.reset();
                break;
            case IncomingEvent::answer: sent += incoming.to_send(); break;
            case IncomingEvent::fault:
                log.append("fault ").append(std::to_string(static_cast<int>(incoming.fault())));
                log.append(" ").append(incoming.reason()).append("\n");
                sent += incoming.to_send();
                return false;
        }
        return true;
    }

    const uint64_t most_;
    std::unique_ptr<char[]> memory_;
    size_t size_ = 0;
};

inline Listener heard_in_parts(const std::string& given, SocketType own, const std::vector<size_t>& cuts, bool directly) {
    Listener listener(own);
    size_t at = 0;
    for (const size_t cut : cuts) {
        listener.hear(std::string_view(given).substr(at, cut - at), directly);
        at = cut;
        if (listener.is_over()) return listener;
    }
    listener.hear(std::string_view(given).substr(at), directly);
    return listener;
}

inline bool same(const Listener& one, const Listener& other) {
    return one.log == other.log && one.sent == other.sent && !one.wrong && !other.wrong &&
           one.incoming.fault() == other.incoming.fault();
}

}  // namespace incoming_events

#endif
