// Why a connection is refused, by what its bytes break.
#ifndef LAPLACE_REASONS_H
#define LAPLACE_REASONS_H

#include "base/counters.h"
#include "transport/message_reader.h"
#include "zmtp/conversation.h"
#include "zmtp/curve_wire.h"

namespace laplace {

inline Refusal refusal_of(zmtp::Fault fault) noexcept {
    switch (fault) {
        case zmtp::Fault::not_zmtp: return Refusal::not_zmtp;
        case zmtp::Fault::version: return Refusal::zmtp_version;
        case zmtp::Fault::mechanism: return Refusal::mechanism;
        case zmtp::Fault::socket_type: return Refusal::socket_type;
        case zmtp::Fault::refused_by_peer:
        case zmtp::Fault::none:
        case zmtp::Fault::malformed: break;
    }
    return Refusal::malformed;
}

inline Refusal refusal_of(zmtp::CurveFault fault) noexcept {
    switch (fault) {
        case zmtp::CurveFault::wrong_server_key: return Refusal::wrong_server_key;
        case zmtp::CurveFault::not_permitted: return Refusal::unknown_key;
        case zmtp::CurveFault::not_authentic:
        case zmtp::CurveFault::replayed: return Refusal::not_authentic;
        case zmtp::CurveFault::socket_type: return Refusal::socket_type;
        case zmtp::CurveFault::unable: return Refusal::no_memory;  // of which libsodium lacks something
        case zmtp::CurveFault::refused_by_peer:
        case zmtp::CurveFault::none:
        case zmtp::CurveFault::malformed: break;
    }
    return Refusal::malformed;
}

inline Refusal refusal_of(MessageReader::Event over_limit) noexcept {
    if (over_limit == MessageReader::Event::too_long_route) return Refusal::route_size;
    return over_limit == MessageReader::Event::too_large ? Refusal::message_size : Refusal::message_frames;
}

}  // namespace laplace

#endif
