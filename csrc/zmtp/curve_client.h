// The client's side of CurveZMQ's handshake: HELLO and INITIATE go, WELCOME and READY come. Sans-I/O and
// without allocation.
#ifndef LAPLACE_CURVE_CLIENT_H
#define LAPLACE_CURVE_CLIENT_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "crypto/keys.h"
#include "zmtp/commands.h"
#include "zmtp/curve_traffic.h"
#include "zmtp/curve_wire.h"

namespace laplace::zmtp {

class CurveClient {
public:
    // The client's own keys, and the server's, outlive the handshake, and so does the identity.
    CurveClient(const crypto::KeyPair& client, const crypto::PublicKey& server, SocketType own,
                std::string_view identity = {}) noexcept
        : client_(client), server_(server), identity_(identity), own_(own) {}

    // Behind the greeting. `out` has max_curve_hello bytes.
    [[nodiscard]] CurveStep begin(char* out) noexcept;
    // What to do about a command, which is changed where it lies. `out` has max_curve_initiate bytes.
    [[nodiscard]] CurveStep hear(char* command, size_t size, char* out) noexcept;

    // What the server says that it is; unknown where it does not say.
    SocketType peer() const noexcept { return peer_; }
    CurveFault fault() const noexcept { return fault_; }
    // Of ERROR, in printable ASCII, and not all of a long one. Anybody on the way may have said it.
    std::string_view reason() const noexcept { return {reason_, reason_size_}; }
    // After `ready`.
    CurveTraffic& traffic() noexcept { return traffic_; }

private:
    enum class State : uint8_t { begin, welcome, ready, traffic, over };

    CurveStep hear_welcome(char* command, size_t size, char* out) noexcept;
    CurveStep put_initiate(const char* cookie, const crypto::PublicKey& theirs, char* out) noexcept;
    bool put_vouch(const crypto::PublicKey& theirs, char* vouch) const noexcept;
    CurveStep hear_ready(char* command, size_t size) noexcept;
    CurveStep hear_error(const char* command, size_t size) noexcept;
    CurveStep fail(CurveFault fault) noexcept;

    const crypto::KeyPair& client_;
    const crypto::PublicKey& server_;
    const std::string_view identity_;
    crypto::KeyPair transient_;
    crypto::SharedKey with_server_;  // of its lasting key
    CurveTraffic traffic_{CurveTraffic::Side::client};
    State state_ = State::begin;
    const SocketType own_;
    SocketType peer_ = SocketType::unknown;
    CurveFault fault_ = CurveFault::none;
    uint8_t reason_size_ = 0;
    char reason_[44] = {};
};

}  // namespace laplace::zmtp

#endif
