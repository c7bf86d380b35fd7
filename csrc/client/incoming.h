// What a server sends to a client, as the frames of messages. Sans-I/O; the memory of frames is the user's.
#ifndef LAPLACE_INCOMING_H
#define LAPLACE_INCOMING_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "client/curve_link.h"
#include "client/peer_fault.h"
#include "zmtp/conversation.h"

namespace laplace {

enum class IncomingEvent : uint8_t {
    need_more,  // all that came is used
    ready,      // the handshake is over
    frame,      // whole() of it, and whether there are more()
    begin,      // a frame of size() bytes, not all of which have come. Say where to put it, or give_up()
    end,        // of that, all has come; more()
    answer,     // send to_send()
    fault       // fault(), and send to_send(). It comes again whenever something is asked
};

struct IncomingRoom {
    char* begin = nullptr;
    size_t size = 0;
};

class Incoming {
public:
    using Event = IncomingEvent;
    // Of one message; more than a stream can have in its longest.
    static constexpr size_t max_frames = 131072;
    // What of a frame is awaited is received into its own memory, from this size on.
    static constexpr size_t least_room = 8 * 1024;

    explicit Incoming(zmtp::SocketType own = zmtp::SocketType::unknown) noexcept : conversation_(own) {}
    // Over CURVE; the link outlives it.
    Incoming(zmtp::SocketType own, CurveLink* link) noexcept : conversation_(own), link_(link) {}

    // What comes next in [at, end), which is changed over CURVE, and `at` moves behind it.
    Event next(char*& at, char* end) noexcept {
        if (link_ != nullptr) return next_opened(at, end);
        const char* from = at;
        const Event event = next_plain(from, end);
        at += from - at;
        return event;
    }

    bool more() const noexcept { return more_; }
    std::string_view whole() const noexcept { return whole_; }  // a part of what was given to next()
    uint64_t size() const noexcept { return size_; }
    // After `begin`: where there is room for size() bytes.
    void put_into(char* memory) noexcept {
        if (link_ != nullptr) return link_->put_into(memory);
        memory_ = memory;
    }
    // Over CURVE, what is answered after `ready` is still to be sealed, and after a fault there is nothing.
    std::string_view to_send() const noexcept {
        if (link_ != nullptr && (!is_ready_ || fault_ != PeerFault::none)) return link_->to_send();
        return fault_ < PeerFault::too_many_frames ? conversation_.to_send() : std::string_view();
    }

    // Where the next bytes may be received to directly, instead of giving them to next(); empty where little
    // or nothing of a frame is awaited. After received(), ask next() as ever.
    IncomingRoom room() noexcept {
        if (link_ != nullptr) {
            const zmtp::CurveReader::Room room = link_->room();
            return {room.begin, room.size};
        }
        if (memory_ == nullptr || conversation_.left() < least_room) return {};
        return {memory_, static_cast<size_t>(conversation_.left())};
    }
    void received(size_t size) noexcept {
        if (link_ != nullptr) return link_->received(size);
        memory_ += size;
        conversation_.took(size);
    }

    // There is no memory for what comes: that is a fault, too.
    void give_up() noexcept { fail(PeerFault::no_memory); }
    PeerFault fault() const noexcept { return fault_; }
    std::string_view reason() const noexcept {
        return link_ != nullptr && !is_ready_ ? link_->reason() : conversation_.reason();
    }

private:
    Event next_plain(const char*& at, const char* end) noexcept;
    Event next_opened(char*& at, char* end) noexcept;
    Event begin_frame(const char*& at, const char* end) noexcept;
    Event end_opened() noexcept;
    bool may_begin_frame() noexcept;
    void count_frame(bool more) noexcept;
    Event fail(PeerFault fault) noexcept;

    zmtp::Conversation conversation_;
    CurveLink* link_ = nullptr;
    std::string_view opened_;  // by the link, and not read yet
    char* memory_ = nullptr;   // for the rest of a frame that has not come whole
    uint64_t size_ = 0;        // of that frame
    size_t frames_ = 0;        // of the message that is coming
    bool more_ = false;
    bool is_ready_ = false;  // over CURVE
    PeerFault fault_ = PeerFault::none;
    std::string_view whole_;
};

}  // namespace laplace

#endif
