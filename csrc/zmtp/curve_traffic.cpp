#include "zmtp/curve_traffic.h"

namespace laplace::zmtp {

using namespace curve;

namespace {

using Kind = CurveTraffic::Kind;

constexpr char flags_of(Kind kind) noexcept {
    return static_cast<char>(kind == Kind::more ? inner_more : kind == Kind::command ? inner_command : 0);
}

std::string_view prefix_of(CurveTraffic::Side from) noexcept {
    return from == CurveTraffic::Side::client ? client_message_prefix : server_message_prefix;
}

// A command in several frames, or what is reserved, is not allowed.
CurveFault kind_of(char flags, Kind& kind) noexcept {
    const unsigned bits = byte_of(flags);
    if (bits > inner_command) return CurveFault::malformed;
    kind = bits == inner_more ? Kind::more : bits == inner_command ? Kind::command : Kind::last;
    return CurveFault::none;
}

}  // namespace

// Writes what is in front of the box, moves `out` there, and uses up a number.
crypto::Nonce CurveTraffic::begin_frame(char*& out, size_t body_size) noexcept {
    out = put(message_name, encode_header(false, message_body + body_size, out));
    put_number(++sent_, out);
    const crypto::Nonce nonce = crypto::Nonce::of_number(prefix_of(own_), out);
    out += number_size;
    return nonce;
}

bool CurveTraffic::seal_in_place(Kind kind, char* out, size_t body_size) noexcept {
    if (!has_number()) return false;
    const crypto::Nonce nonce = begin_frame(out, body_size);
    out[box_overhead] = flags_of(kind);
    return crypto::seal_in_place(out, 1 + body_size, nonce, key_);
}

bool CurveTraffic::begin_seal(Kind kind, std::string_view body, char* out, crypto::LongBox& box) noexcept {
    if (!has_number()) return false;
    const crypto::Nonce nonce = begin_frame(out, body.size());
    return box.begin(flags_of(kind), body, out, nonce, key_);
}

bool CurveTraffic::seal(Kind kind, std::string_view body, char* out) noexcept {
    if (body.size() < least_long) {
        put(body, out + head_size(body.size()));
        return seal_in_place(kind, out, body.size());
    }
    crypto::LongBox box;
    return begin_seal(kind, body, out, box) && box.go_on(body.size()) && box.is_sealed();
}

CurveFault CurveTraffic::open(char* frame, size_t size, Opened& opened) noexcept {
    opened = {};
    if (size < message_body || !begins_with(frame, size, message_name)) return CurveFault::malformed;
    const uint64_t number = read_uint64(frame + message_number);
    if (number <= heard_) return CurveFault::replayed;
    if (!crypto::open_in_place(frame + message_box, size - message_box, nonce_of(frame), key_))
        return CurveFault::not_authentic;
    heard_ = number;
    const CurveFault fault = kind_of(frame[message_flags], opened.kind);
    if (fault == CurveFault::none) opened.body = {frame + message_body, size - message_body};
    return fault;
}

CurveFault CurveTraffic::open_apart(const char* head, char* body, size_t body_size, Kind& kind) noexcept {
    if (!begins_with(head, message_body, message_name)) return CurveFault::malformed;
    const uint64_t number = read_uint64(head + message_number);
    if (number <= heard_) return CurveFault::replayed;
    char flags = head[message_flags];
    if (!crypto::open_apart(head + message_box, flags, body, body_size, nonce_of(head), key_))
        return CurveFault::not_authentic;
    heard_ = number;
    return kind_of(flags, kind);
}

// Of a frame that has come.
crypto::Nonce CurveTraffic::nonce_of(const char* frame) const noexcept {
    const Side peer = own_ == Side::client ? Side::server : Side::client;
    return crypto::Nonce::of_number(prefix_of(peer), frame + message_number);
}

}  // namespace laplace::zmtp
