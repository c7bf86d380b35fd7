// Who subscribed, and what each is sent next, as far as its credit goes. Used by whoever has the
// turn; the ledgers tell others.
#ifndef LAPLACE_STREAM_SENDER_H
#define LAPLACE_STREAM_SENDER_H

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "streams/stream_wire.h"
#include "streams/subscribers.h"
#include "transport/router.h"

namespace laplace {

// What has become of a subscription that was to begin.
enum class Begun {
    yes,
    route_too_long,  // than one that a subscription may keep
    too_many         // of its connection
};

class StreamSender {
public:
    // Who can be sent nothing and says nothing for `silence_ms` is forgotten. A connection has `most_of_one`
    // subscriptions at most.
    StreamSender(Router& router, Streams& streams, uint64_t epoch, int silence_ms, size_t most_of_one);
    StreamSender(const StreamSender&) = delete;
    StreamSender& operator=(const StreamSender&) = delete;

    // Whether it was a subscriber's word, which is then done with: only a stranger is answered.
    // Throws std::bad_alloc.
    bool take_control(Received& message);
    // Begins a subscription, or begins it anew. Where there are as many as there may be, of the server or of
    // its connection, the one of them that has been silent longest is forgotten for it.
    // Throws std::bad_alloc; then it has not begun.
    Begun subscribe(const Route& route, const Grant& grant, uint64_t now);
    // Forgets the subscribers of these roles, and tells them: if they may, they subscribe again.
    void give_up_roles(Roles roles, uint64_t now) noexcept;
    // There may be updates, or room for them, or somebody has gone.
    void wake() noexcept { can_send_ = !subscribers_.empty(); }
    // Sends what is due. Returns how long to rest afterwards, where nothing else is to be done: the next
    // messages hold more then. Throws std::bad_alloc.
    std::chrono::microseconds send(uint64_t now);
    // Sends the update of a stream that was published last, where one subscriber is due and that was all
    // it had to be sent. False: there is more to do, and send() does it. Throws std::bad_alloc.
    bool send_alone(Stream& stream, uint64_t now);
    // When send() has to be called, UINT64_MAX for never.
    uint64_t due(uint64_t now) const noexcept;
    // The server stops: each subscriber is sent what there is, as far as its credit goes while there is
    // time, and told the last number; then it is forgotten. Throws std::bad_alloc.
    void end(bool in_time, uint64_t now);

    bool empty() const noexcept { return subscribers_.empty(); }

private:
    struct Subscriber {
        Route route;
        Grant grant;
        std::shared_ptr<Block> block;  // where `next` was found last
        uint64_t told = 0;        // ns, last message to it
        uint64_t active = 0;      // ns, last time that it said something or was sent an update
        uint64_t last = 0;        // number that it was told last to be the last one
        unsigned unanswered = 0;  // words without updates since it said something
        bool blocked = false;     // nothing could be sent to it, when it was last looked at
    };
    using Subscribers = std::unordered_map<std::string, Subscriber>;

    Subscribers::iterator forget(Subscribers::iterator subscriber) noexcept;
    Subscribers::iterator give_up(Subscribers::iterator subscriber, uint64_t now);
    // Of one connection, or of all. False: none is silent.
    bool forget_most_silent(const Connection* of, uint64_t now);
    void leave(const Subscriber& subscriber) noexcept;
    Subscriber* only_one_of(const Stream& stream) noexcept;
    bool has_been_silent(const Subscriber& subscriber, uint64_t now) const noexcept;
    bool is_waited_for(const Subscriber& subscriber) const noexcept;
    Sent send_next(Subscriber& subscriber, uint64_t now);
    Sent send_allowed(Subscriber& subscriber, uint64_t now);
    Sent say_alive(Subscriber& subscriber, uint64_t now);
    // Whether numbers are lost at the end of its stream, and it was told of none.
    bool has_more_to_hear(const Subscriber& subscriber) const noexcept;
    Sent send_updates(Subscriber& subscriber, uint64_t number, uint64_t lost, uint64_t last);
    Sent tell(Subscriber& subscriber, StreamKind kind, uint64_t now);
    StreamHeader header_for(const Subscriber& subscriber, StreamKind kind) const noexcept;
    void retry_soon(uint64_t now) noexcept;

    Router& router_;
    Streams& streams_;
    const uint64_t epoch_;
    const uint64_t silence_ns_;
    const size_t most_of_one_;
    Subscribers subscribers_;
    bool can_send_ = false;      // something, perhaps
    uint64_t due_ = 0;           // when to look in any case
    uint32_t most_updates_ = 0;  // in a message, when it looked last
};

}  // namespace laplace

#endif
