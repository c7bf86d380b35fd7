// The bytes of a connection over CURVE, behind the greeting: commands of the handshake, and then frames that
// are opened where they lie, into the bytes that would have come over NULL. Who reads those knows nothing of
// CURVE. Holds at most twice what has come, whatever was announced.
#ifndef LAPLACE_CURVE_READER_H
#define LAPLACE_CURVE_READER_H

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "zmtp/curve_traffic.h"
#include "zmtp/curve_wire.h"
#include "zmtp/frames.h"

namespace laplace::zmtp {

class CurveReader {
public:
    enum class Event : uint8_t {
        need_more,  // all that came is used
        command,    // of the handshake: command(), command_size(), which may be changed
        plain,      // plain(): whole frames as they would be over NULL, until the next call
        begin,      // of a large frame, where these are told: body_size(). Say put_into(), or it will be plain()
        end,        // of that: all of it is in that memory, opened; kind()
        // The connection is of no more use. These come again whenever something is asked.
        too_large,  // plain() is the header that would announce it over NULL
        no_memory,
        fault       // fault()
    };
    struct Room {
        char* begin = nullptr;
        size_t size = 0;
    };

    // A frame that is no larger is not told as `begin`, and is not received by way of room().
    static constexpr size_t least_large = 8 * 1024;

    // `max_body`: of a frame in the traffic.
    explicit CurveReader(size_t max_body, bool tells_large = false) noexcept
        : max_body_(max_body), tells_large_(tells_large) {}
    CurveReader(const CurveReader&) = delete;
    CurveReader& operator=(const CurveReader&) = delete;

    // The handshake is over. The traffic stays the caller's, and outlives what is read.
    void begin_traffic(CurveTraffic& traffic) noexcept { traffic_ = &traffic; }

    // What comes next in [at, end), which is changed, and `at` moves behind it.
    Event next(char*& at, char* end) noexcept;

    char* command() const noexcept { return frame_; }
    size_t command_size() const noexcept { return size_; }
    std::string_view plain() const noexcept { return plain_; }
    size_t body_size() const noexcept { return size_ - curve::message_body; }
    // After `begin`, before anything else is asked: memory of body_size() bytes.
    void put_into(char* memory) noexcept { memory_ = memory; }
    CurveTraffic::Kind kind() const noexcept { return kind_; }
    CurveFault fault() const noexcept { return fault_; }

    // Where the next bytes may be received to directly, instead of giving them to next(); empty where little
    // or nothing of a frame is awaited. After received(), ask next() as ever.
    Room room() noexcept;
    void received(size_t size) noexcept {
        assert(size <= size_ - come_);
        come_ += size;
    }

    // Lets go of memory; nothing more is asked of it.
    void release() noexcept;
    // Memory beyond that of this object.
    size_t held() const noexcept { return room_size_; }

private:
    enum class State : uint8_t { header, body, used, over };

    bool read_header(char*& at, const char* end) noexcept;
    Event begin_body(char*& at, char* end) noexcept;
    Event go_on(char*& at, char* end) noexcept;
    Event finish(char* frame) noexcept;
    Event finish_apart() noexcept;
    bool open_into_run(char* frame) noexcept;
    void add_following(char*& at, char* end) noexcept;
    bool grow(size_t at_least) noexcept;
    void let_go() noexcept;
    Event give_up(Event why, CurveFault fault = CurveFault::none) noexcept;

    static constexpr size_t max_command = 4096;
    static constexpr size_t first_room = 1024;
    static constexpr size_t longest_run = 16 * 1024;  // of frames that are opened before they are read
    static constexpr size_t most_moved = 2 * 1024;    // bytes of a frame that is put behind others

    struct Free {
        void operator()(char* memory) const noexcept { std::free(memory); }
    };

    CurveTraffic* traffic_ = nullptr;
    const size_t max_body_;
    size_t size_ = 0;  // of the frame's body, sealed
    size_t come_ = 0;  // of it
    char* frame_ = nullptr;
    char* memory_ = nullptr;
    std::unique_ptr<char, Free> room_;  // for a frame that has not come whole
    size_t room_size_ = 0;
    std::string_view plain_;
    State state_ = State::header;
    const bool tells_large_;
    uint8_t header_size_ = 0;
    Event over_ = Event::need_more;
    CurveTraffic::Kind kind_ = CurveTraffic::Kind::last;
    CurveFault fault_ = CurveFault::none;
    char header_[long_header] = {};
    char head_[curve::message_body] = {};  // of a frame whose body is put elsewhere
};

}  // namespace laplace::zmtp

#endif
