// What a connection over CURVE has beside what it would have over NULL: the handshake, what opens the bytes
// that come, and what seals those that go.
#ifndef LAPLACE_CURVE_CONNECTION_H
#define LAPLACE_CURVE_CONNECTION_H

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "transport/sealing.h"
#include "transport/server_keys.h"
#include "zmtp/commands.h"
#include "zmtp/curve_reader.h"
#include "zmtp/curve_server.h"

namespace laplace {

class CurveConnection {
public:
    // The most that is said of a handshake at once.
    static constexpr size_t most_said =
        std::max({zmtp::max_curve_welcome, zmtp::max_curve_ready, zmtp::max_error});

    // Null without memory. The handshake ends with the keys that it begins with. `max_body`: bytes of a frame.
    static std::unique_ptr<CurveConnection> begin(std::shared_ptr<const ServerKeys> keys, size_t max_body) noexcept {
        std::unique_ptr<CurveConnection> made(new (std::nothrow) CurveConnection(std::move(keys), max_body));
        if (made != nullptr && made->handshake_ == nullptr) made.reset();
        return made;
    }
    CurveConnection(const CurveConnection&) = delete;
    CurveConnection& operator=(const CurveConnection&) = delete;

    // The rest of the peer's greeting, from its mechanism on. False: that is another one.
    [[nodiscard]] bool read_greeting(char*& at, const char* end) noexcept {
        const std::string_view expected = zmtp::curve_greeting(true);
        for (; greeted_ < zmtp::greeting_size && at != end; ++greeted_, ++at) {
            if (greeted_ < end_of_mechanism && *at != expected[greeted_]) return false;
        }
        return true;
    }

    // Whether the next command is of the handshake. To hear it takes about 50 us.
    bool in_handshake() const noexcept { return handshake_ != nullptr; }
    // Hears the command that the reader has; `out` has most_said bytes.
    [[nodiscard]] zmtp::CurveStep hear(char* out) noexcept {
        return handshake_->hear(reader_.command(), reader_.command_size(), out);
    }
    zmtp::CurveServer& handshake() noexcept { return *handshake_; }
    // After `ready`; returns what the peer is.
    zmtp::SocketType end_handshake() noexcept {
        const zmtp::SocketType peer = handshake_->peer();
        traffic_.take(handshake_->traffic());
        reader_.begin_traffic(traffic_);
        handshake_.reset();
        keys_.reset();
        return peer;
    }

    zmtp::CurveReader& reader() noexcept { return reader_; }
    Sealing& sealing() noexcept { return sealing_; }
    const Sealing& sealing() const noexcept { return sealing_; }

    // Nothing is said any more: lets go of memory, and of keys.
    void release() noexcept {
        reader_.release();
        sealing_.clear();
        handshake_.reset();
        keys_.reset();
        traffic_.key().wipe();
    }
    // Memory beyond that of this object, but for what waits to be sent.
    size_t held() const noexcept { return reader_.held(); }

private:
    static constexpr size_t end_of_mechanism = 32;

    CurveConnection(std::shared_ptr<const ServerKeys> keys, size_t max_body) noexcept
        : keys_(std::move(keys)),
          handshake_(new (std::nothrow) zmtp::CurveServer(keys_->own())),
          reader_(max_body) {}

    // While in the handshake.
    std::shared_ptr<const ServerKeys> keys_;
    std::unique_ptr<zmtp::CurveServer> handshake_;
    size_t greeted_ = zmtp::greeting_in_common;

    zmtp::CurveTraffic traffic_{zmtp::CurveTraffic::Side::server};
    zmtp::CurveReader reader_;
    Sealing sealing_{traffic_};
};

}  // namespace laplace

#endif
