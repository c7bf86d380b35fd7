// The client's end of a connection over CURVE, in front of what an Incoming hears: the greeting, the handshake,
// and frames that are opened and sealed. Sans-I/O; it allocates only for a small frame that has not come whole.
#ifndef LAPLACE_CURVE_LINK_H
#define LAPLACE_CURVE_LINK_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "client/client_keys.h"
#include "client/peer_fault.h"
#include "zmtp/commands.h"
#include "zmtp/curve_client.h"
#include "zmtp/curve_reader.h"

namespace laplace {

class CurveLink {
public:
    enum class Event : uint8_t {
        need_more,  // all that came is used
        answer,     // of the handshake: send to_send()
        ready,      // the handshake is over
        plain,      // plain(): whole frames as they would be over NULL, until the next call
        begin,      // of a large frame: say where to put it, in room for body_size()
        end,        // of that: it is opened; kind()
        fault       // fault(). It comes again whenever something is asked
    };
    using Kind = zmtp::CurveTraffic::Kind;

    CurveLink(std::shared_ptr<const ClientKeys> keys, zmtp::SocketType own) noexcept
        : keys_(std::move(keys)), client_(keys_->own, keys_->server, own) {}
    CurveLink(const CurveLink&) = delete;
    CurveLink& operator=(const CurveLink&) = delete;

    // Once: what to send first, without waiting for anything. Empty: it has begun, or libsodium failed.
    std::string_view begin() noexcept;

    // What comes next in [at, end), which is changed, and `at` moves behind it.
    Event next(char*& at, char* end) noexcept;

    // After `answer`.
    std::string_view to_send() const noexcept { return {out_, to_send_}; }
    zmtp::SocketType peer() const noexcept { return client_.peer(); }
    std::string_view plain() const noexcept { return reader_.plain(); }
    size_t body_size() const noexcept { return reader_.body_size(); }
    void put_into(char* memory) noexcept { reader_.put_into(memory); }
    Kind kind() const noexcept { return reader_.kind(); }
    PeerFault fault() const noexcept { return fault_; }
    // Of ERROR. Anybody on the way may have said it.
    std::string_view reason() const noexcept { return client_.reason(); }
    // Whether it has said that it has security: silence after that is about keys.
    bool is_greeted() const noexcept { return greeted_ == zmtp::greeting_size; }

    // Nothing more is heard and said. A fault that there was stays.
    void give_up(PeerFault fault) noexcept;

    // As Incoming's.
    zmtp::CurveReader::Room room() noexcept { return reader_.room(); }
    void received(size_t size) noexcept { reader_.received(size); }

    // After `ready`. What is sealed is sent next, or nothing more. False: the connection is over, by a fault.
    //
    // One frame to `out`, of CurveTraffic::sealed_size().
    [[nodiscard]] bool seal(Kind kind, std::string_view body, char* out) noexcept;
    // Whole frames as they would be over NULL, to `out`, of sealed_size() of them.
    [[nodiscard]] bool seal_frames(std::string_view frames, char* out) noexcept;
    // 0: these are none.
    static size_t sealed_size(std::string_view frames) noexcept;

private:
    bool greet(char*& at, const char* end) noexcept;
    Event hear_command() noexcept;
    Event fail(PeerFault fault) noexcept;

    static constexpr size_t max_body = PTRDIFF_MAX;
    static_assert(zmtp::max_curve_hello <= zmtp::max_curve_initiate);

    const std::shared_ptr<const ClientKeys> keys_;
    zmtp::CurveClient client_;
    zmtp::CurveReader reader_{max_body, true};
    size_t to_send_ = 0;
    uint8_t greeted_ = 0;  // bytes of the greeting
    bool has_begun_ = false;
    bool is_ready_ = false;
    PeerFault fault_ = PeerFault::none;
    char out_[zmtp::greeting_size + zmtp::max_curve_initiate];
};

}  // namespace laplace

#endif
