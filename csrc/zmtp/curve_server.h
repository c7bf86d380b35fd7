// The server's side of CurveZMQ's handshake: HELLO and INITIATE come, WELCOME and READY go. Sans-I/O and
// without allocation; what a connection costs before its client is known is this object.
//
// Between HELLO and INITIATE there is only the key of this connection's own cookie: the client's and the
// server's keys for the connection are in the cookie, which the client brings back. The key is not one of
// all connections, though that would save keeping it: a recorded INITIATE, and the messages behind it, could
// then be said again on another connection for as long as it lives.
#ifndef LAPLACE_CURVE_SERVER_H
#define LAPLACE_CURVE_SERVER_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "crypto/keys.h"
#include "zmtp/commands.h"
#include "zmtp/curve_traffic.h"
#include "zmtp/curve_wire.h"
#include "zmtp/metadata.h"

namespace laplace::zmtp {

class CurveServer {
public:
    // The server's keys outlive the handshake.
    explicit CurveServer(const crypto::KeyPair& server, SocketType own = SocketType::router) noexcept
        : server_(server), own_(own) {}

    // What to do about a command, which is changed where it lies. `out` has max_curve_welcome bytes.
    [[nodiscard]] CurveStep hear(char* command, size_t size, char* out) noexcept;

    // From `asks` on: who the client is, for certain.
    const crypto::PublicKey& client() const noexcept { return client_; }
    // What it says that it is; unknown where it does not say.
    SocketType peer() const noexcept { return peer_; }

    // After `asks`, one of these. `out` has max_curve_ready, or max_error, bytes. `permit` ends in a fault,
    // too, where our sockets do not talk to the client's.
    [[nodiscard]] CurveStep permit(char* out) noexcept;
    [[nodiscard]] CurveStep refuse(char* out) noexcept;

    CurveFault fault() const noexcept { return fault_; }
    // After `ready`.
    CurveTraffic& traffic() noexcept { return traffic_; }

private:
    enum class State : uint8_t { hello, initiate, asked, ready, over };

    CurveStep hear_hello(const char* command, size_t size, char* out) noexcept;
    bool put_welcome(const crypto::PublicKey& client, const crypto::SharedKey& with_client, char* welcome) noexcept;
    bool put_cookie(const crypto::PublicKey& client, const crypto::SecretKey& own, char* cookie) noexcept;
    CurveStep hear_initiate(char* command, size_t size) noexcept;
    bool open_cookie(char* cookie, crypto::PublicKey& client, crypto::SecretKey& own) const noexcept;
    bool open_vouch(char* vouch, const crypto::PublicKey& client, const crypto::PublicKey& transient,
                    const crypto::SecretKey& own) const noexcept;
    CurveStep fail(CurveFault fault, size_t to_send = 0) noexcept;

    const crypto::KeyPair& server_;
    crypto::SharedKey cookie_key_;
    crypto::PublicKey client_;
    CurveTraffic traffic_{CurveTraffic::Side::server};
    uint64_t heard_ = 0;
    State state_ = State::hello;
    const SocketType own_;
    SocketType peer_ = SocketType::unknown;
    MetadataState metadata_ = MetadataState::good;
    CurveFault fault_ = CurveFault::none;
};
static_assert(sizeof(CurveServer) <= 256, "each connection has one");

}  // namespace laplace::zmtp

#endif
