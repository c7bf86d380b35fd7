// Both ends of a CurveZMQ handshake against each other; what one says may be changed before the other hears
// it. Each hears a copy of exactly that size.
#ifndef LAPLACE_TESTS_CURVE_ENDS_H
#define LAPLACE_TESTS_CURVE_ENDS_H

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/keys.h"
#include "zmtp/curve_client.h"
#include "zmtp/curve_server.h"
#include "zmtp/curve_traffic.h"
#include "zmtp/frames.h"

namespace curve_ends {

using laplace::crypto::KeyPair;
using laplace::crypto::PublicKey;
using laplace::crypto::SharedKey;
using laplace::zmtp::CurveClient;
using laplace::zmtp::CurveEvent;
using laplace::zmtp::CurveFault;
using laplace::zmtp::CurveServer;
using laplace::zmtp::CurveStep;
using laplace::zmtp::CurveTraffic;
using laplace::zmtp::SocketType;
using Kind = CurveTraffic::Kind;

inline std::unique_ptr<KeyPair> new_keys() {
    auto keys = std::make_unique<KeyPair>();
    if (!laplace::crypto::make_keys(*keys)) std::abort();
    return keys;
}

// What follows the header of a frame.
inline std::string body_of(std::string_view frame) {
    if (frame.empty()) return {};
    const bool is_long = (laplace::zmtp::byte_of(frame[0]) & laplace::zmtp::flag_long) != 0;
    return std::string(frame.substr(is_long ? laplace::zmtp::long_header : laplace::zmtp::short_header));
}

struct Said {
    CurveEvent event;
    std::string frame;
    std::string body() const { return body_of(frame); }
};

// Gives `end` a command, and a place for its answer.
template <class End>
Said hear(End& end, std::string_view command) {
    std::vector<char> exact(command.begin(), command.end());
    std::vector<char> out(1024, 'x');
    const CurveStep step = end.hear(exact.data(), exact.size(), out.data());
    return {step.event, std::string(out.data(), step.to_send)};
}

inline std::string sealed(CurveTraffic& by, Kind kind, std::string_view body) {
    std::vector<char> out(CurveTraffic::sealed_size(body.size()));
    if (!by.seal(kind, body, out.data())) return {};
    return {out.data(), out.size()};
}

// What `by` makes of a frame's body: the fault, or the text behind a letter for its kind.
struct Heard {
    CurveFault fault;
    Kind kind;
    std::string text;
};

inline Heard opened(CurveTraffic& by, std::string_view body) {
    std::vector<char> exact(body.begin(), body.end());
    CurveTraffic::Opened result;
    const CurveFault fault = by.open(exact.data(), exact.size(), result);
    return {fault, result.kind, std::string(result.body)};
}

struct Keys {
    std::unique_ptr<KeyPair> server = new_keys(), client = new_keys();
};

class Ends {
public:
    explicit Ends(const Keys& keys, SocketType client_is = SocketType::dealer)
        : client(*keys.client, keys.server->public_key, client_is, "me"), server(*keys.server) {}

    std::string hello() {
        std::vector<char> out(laplace::zmtp::max_curve_hello);
        const CurveStep step = client.begin(out.data());
        return body_of({out.data(), step.to_send});
    }
    std::string welcome() { return hear(server, hello()).body(); }
    std::string initiate() { return hear(client, welcome()).body(); }
    bool asks() { return hear(server, initiate()).event == CurveEvent::asks; }
    Said permit() {
        std::vector<char> out(laplace::zmtp::max_curve_ready);
        const CurveStep step = server.permit(out.data());
        return {step.event, std::string(out.data(), step.to_send)};
    }
    std::string ready() { return asks() ? permit().body() : std::string(); }
    bool complete() { return hear(client, ready()).event == CurveEvent::ready; }

    CurveClient client;
    CurveServer server;
};

}  // namespace curve_ends

#endif
