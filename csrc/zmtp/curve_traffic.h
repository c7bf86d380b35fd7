// The frames of a connection after CurveZMQ's handshake: each is a MESSAGE of its own, 33 bytes longer,
// with a number that grows. Either end has one.
#ifndef LAPLACE_CURVE_TRAFFIC_H
#define LAPLACE_CURVE_TRAFFIC_H

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "crypto/keys.h"
#include "crypto/long_box.h"
#include "zmtp/curve_wire.h"
#include "zmtp/frames.h"

namespace laplace::zmtp {

class CurveTraffic {
public:
    enum class Side : uint8_t { client, server };
    enum class Kind : uint8_t { last, more, command };  // of a frame: the last of its message, or not
    struct Opened {
        std::string_view body;
        Kind kind = Kind::last;
    };

    // From here on a frame is sealed by itself, out of where it lies.
    static constexpr size_t least_long = 8 * 1024;

    // In front of a sealed frame's body: header, name, number, tag and flags.
    static constexpr size_t head_size(size_t body) noexcept {
        return header_size(curve::message_body + body) + curve::message_body;
    }
    static constexpr size_t sealed_size(size_t body) noexcept { return head_size(body) + body; }

    // The numbers are those of the last command that was sent and that was heard.
    explicit CurveTraffic(Side own) noexcept : own_(own) {}
    void begin(uint64_t sent, uint64_t heard) noexcept {
        sent_ = sent;
        heard_ = heard;
    }

    // What is sealed must be sent next, or nothing more; numbers must not be used twice. False: the
    // connection is over: 2^64 - 1 were used, or libsodium failed.
    //
    // A frame with this body to `out`, of sealed_size(). The two do not overlap.
    [[nodiscard]] bool seal(Kind kind, std::string_view body, char* out) noexcept;
    // The same where the body already lies head_size() behind `out`.
    [[nodiscard]] bool seal_in_place(Kind kind, char* out, size_t body_size) noexcept;
    // The same by and by: go on with `box`, and send the frame when it is sealed.
    [[nodiscard]] bool begin_seal(Kind kind, std::string_view body, char* out, crypto::LongBox& box) noexcept;

    // Opens the body of a frame where it lies, however that was marked. `opened` is a part of it. A fault
    // means that nothing of it may be used.
    [[nodiscard]] CurveFault open(char* frame, size_t size, Opened& opened) noexcept;

    // The same where what is in front of the body lies apart: `head` has the first message_body bytes.
    [[nodiscard]] CurveFault open_apart(const char* head, char* body, size_t body_size, Kind& kind) noexcept;

    // Goes on where another one of this end is, which is of no more use then.
    void take(CurveTraffic& other) noexcept {
        std::memcpy(key_.bytes, other.key_.bytes, crypto::key_size);
        other.key_.wipe();
        begin(other.sent_, other.heard_);
    }

    // Of both ends.
    crypto::SharedKey& key() noexcept { return key_; }

private:
    crypto::Nonce begin_frame(char*& out, size_t body_size) noexcept;
    crypto::Nonce nonce_of(const char* frame) const noexcept;
    bool has_number() const noexcept { return sent_ != UINT64_MAX; }

    crypto::SharedKey key_;
    uint64_t sent_ = 0;
    uint64_t heard_ = 0;
    const Side own_;
};

}  // namespace laplace::zmtp

#endif
