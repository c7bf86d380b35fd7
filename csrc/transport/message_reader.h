// Requests out of the bytes of one connection: the frames up to the first empty one are the route, and
// the one behind it is the body. Holds them to their limits; what it holds in memory is at most twice
// what has come, whatever was announced.
#ifndef LAPLACE_MESSAGE_READER_H
#define LAPLACE_MESSAGE_READER_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "transport/message.h"
#include "zmtp/conversation.h"

namespace laplace {

class MessageReader {
public:
    // Of one message. A command is held to the bytes, too.
    struct Limits {
        size_t max_bytes = SIZE_MAX;  // in all its frames
        size_t max_frames = SIZE_MAX;
        // Of the route, with its headers: it goes back in front of each answer, so it may cost the memory
        // of several.
        size_t max_route_bytes = SIZE_MAX;
    };
    enum class Event : uint8_t {
        need_more,  // all that came is used
        ready,      // the handshake is over: send conversation().to_send()
        ping,       // send conversation().to_send(), and see its ping_ttl()
        pong,
        message,       // route(), body()
        no_delimiter,  // a message without an empty frame: nobody could answer it
        // The connection is of no more use. These come again whenever something is asked.
        too_large,        // route() where that was there before
        too_many_frames,  // the same
        too_long_route,   // there is no route()
        no_memory,
        fault  // conversation().fault(); send its to_send()
    };
    struct Room {
        char* begin = nullptr;
        size_t size = 0;
    };

    // The limits stay the caller's, and outlive this.
    explicit MessageReader(const Limits& limits) noexcept : limits_(limits) {}
    MessageReader(const MessageReader&) = delete;
    MessageReader& operator=(const MessageReader&) = delete;

    // The handshake has been made by somebody else, and what comes next is frames.
    void begin_traffic(zmtp::SocketType peer) noexcept { conversation_.begin_traffic(peer); }

    // What comes next in [at, end), and `at` moves behind it.
    Event next(const char*& at, const char* end) noexcept;

    // After `message`, until the next call. The route is encoded as on the wire, more frames to follow, its
    // headers the shortest there are.
    std::string_view route() const noexcept { return route_view_; }
    std::string_view body() const noexcept { return body_view_; }  // empty unless one_frame()
    bool one_frame() const noexcept { return one_frame_; }         // behind the route
    size_t bytes() const noexcept { return bytes_; }               // in all frames
    // The body as a message, copied only where it lies in what was given to next(). False without memory.
    [[nodiscard]] bool take_body(Message& message) noexcept;

    // Where the next bytes of a body may be read to directly, instead of giving them to next(); empty where
    // none of it is awaited. After received(), ask next() as ever.
    Room room() noexcept;
    void received(size_t size) noexcept { conversation_.took(size); }

    // Nothing more is asked of it: lets go of its memory, and of what it had to say.
    void release() noexcept;
    // Memory beyond that of this object.
    size_t held() const noexcept { return body_.size() + (route_.capacity() > own_route ? route_.capacity() : 0); }
    const zmtp::Conversation& conversation() const noexcept { return conversation_; }

private:
    enum class Part : uint8_t {
        none,   // of a message has come
        route,  // is coming
        body,   // begins with the next frame
        gathered_body,
        skipped,  // all else of it is of no use
        finished  // and what was kept of it is to be let go
    };

    Event go_on(const char*& at, const char* end) noexcept;
    bool whole_request(const char*& at, const char* end) noexcept;
    // These return need_more where there is no event yet.
    Event begin_frame(const char*& at, const char* end) noexcept;
    Event add_piece(std::string_view piece) noexcept;
    Event add_to_route(std::string_view bytes) noexcept;
    Event finish_body() noexcept;
    Event give_up(Event why) noexcept;
    bool grow_body(size_t at_least) noexcept;
    void let_go() noexcept;
    size_t gathered() const noexcept { return body_size_ - static_cast<size_t>(conversation_.left()); }

    static constexpr size_t own_route = 32;  // a string has at most that without memory of its own
    static constexpr size_t first_room = 4096;
    static constexpr std::string_view usual_route{"\1\0", 2};  // of REQ: an empty frame

    zmtp::Conversation conversation_{zmtp::SocketType::router};
    Part part_ = Part::none;
    Event over_ = Event::need_more;  // or why
    bool one_frame_ = false;
    const Limits& limits_;
    size_t bytes_ = 0;
    size_t frames_ = 0;
    std::string route_;
    Message body_;  // as large as there is room
    size_t body_size_ = 0;
    std::string_view route_view_, body_view_;
};

inline MessageReader::Event MessageReader::next(const char*& at, const char* end) noexcept {
    if (part_ == Part::none && conversation_.at_frame() && whole_request(at, end)) return Event::message;
    return go_on(at, end);
}

// What nearly every message is: REQ's empty frame, and a body that has come as a whole.
inline bool MessageReader::whole_request(const char*& at, const char* end) noexcept {
    const size_t given = static_cast<size_t>(end - at);
    constexpr size_t before = usual_route.size();
    if (given < before + zmtp::short_header || at[0] != usual_route[0] || at[1] != usual_route[1]) return false;
    size_t header = before + zmtp::short_header;
    uint64_t size = zmtp::byte_of(at[before + 1]);
    if (at[before] != 0) {
        header = before + zmtp::long_header;
        if (zmtp::byte_of(at[before]) != zmtp::flag_long || given < header) return false;
        size = zmtp::read_uint64(at + before + 1);
    }
    if (size > given - header || size > limits_.max_bytes || limits_.max_frames < 2) return false;
    bytes_ = static_cast<size_t>(size);
    one_frame_ = true;
    route_view_ = usual_route;
    body_view_ = {at + header, bytes_};
    at += header + bytes_;
    return true;
}

}  // namespace laplace

#endif
