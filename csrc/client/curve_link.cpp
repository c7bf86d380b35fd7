#include "client/curve_link.h"

#include <cstring>

#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t last_of_signature = 9;
constexpr size_t version = 10;
constexpr size_t first_of_mechanism = zmtp::greeting_in_common;
constexpr size_t end_of_mechanism = 32;
constexpr unsigned oldest_version = 3;

// What shows in the byte of a greeting that it is not one of ZMTP 3 over CURVE. libzmq does not say which end
// is the server.
PeerFault fault_of_greeting(size_t place, char byte) noexcept {
    if (place == 0) return byte == '\xFF' ? PeerFault::none : PeerFault::not_zmtp;
    if (place == last_of_signature) return (zmtp::byte_of(byte) & 1) != 0 ? PeerFault::none : PeerFault::not_zmtp;
    if (place == version) return zmtp::byte_of(byte) >= oldest_version ? PeerFault::none : PeerFault::version;
    if (place < first_of_mechanism || place >= end_of_mechanism) return PeerFault::none;
    if (byte == zmtp::curve_greeting(false)[place]) return PeerFault::none;
    const bool is_null = place == first_of_mechanism && byte == zmtp::greeting()[place];
    return is_null ? PeerFault::no_security : PeerFault::mechanism;
}

PeerFault peer_fault(zmtp::CurveFault fault) noexcept {
    switch (fault) {
        case zmtp::CurveFault::none: return PeerFault::none;
        case zmtp::CurveFault::wrong_server_key:
        case zmtp::CurveFault::not_permitted:  // these two are a server's
        case zmtp::CurveFault::malformed: return PeerFault::malformed;
        case zmtp::CurveFault::not_authentic:
        case zmtp::CurveFault::replayed: return PeerFault::forged;
        case zmtp::CurveFault::socket_type: return PeerFault::socket_type;
        case zmtp::CurveFault::refused_by_peer: return PeerFault::refused_by_peer;
        case zmtp::CurveFault::unable: return PeerFault::unable;
    }
    return PeerFault::malformed;
}

// Whether a whole frame, as it would be over NULL, is the first thing there.
bool begins_with_frame(std::string_view from) noexcept {
    const bool is_long = (zmtp::byte_of(from[0]) & zmtp::flag_long) != 0;
    const size_t header = is_long ? zmtp::long_header : zmtp::short_header;
    if (from.size() < header) return false;
    const uint64_t size = is_long ? zmtp::read_uint64(from.data() + 1) : zmtp::byte_of(from[1]);
    return size <= from.size() - header;
}

// A frame as it would be over NULL, in memory that holds nothing but whole ones; `from` moves behind it.
std::string_view take_frame(std::string_view& from, CurveLink::Kind& kind) noexcept {
    const unsigned flags = zmtp::byte_of(from[0]);
    const bool is_long = (flags & zmtp::flag_long) != 0;
    const size_t header = is_long ? zmtp::long_header : zmtp::short_header;
    const size_t size = is_long ? static_cast<size_t>(zmtp::read_uint64(from.data() + 1)) : zmtp::byte_of(from[1]);
    kind = (flags & zmtp::flag_command) != 0 ? CurveLink::Kind::command
           : (flags & zmtp::flag_more) != 0  ? CurveLink::Kind::more
                                             : CurveLink::Kind::last;
    const std::string_view body = from.substr(header, size);
    from.remove_prefix(header + size);
    return body;
}

}  // namespace

std::string_view CurveLink::begin() noexcept {
    if (has_begun_) return {};
    has_begun_ = true;
    const std::string_view greeting = zmtp::curve_greeting(false);
    std::memcpy(out_, greeting.data(), greeting.size());
    const zmtp::CurveStep step = client_.begin(out_ + greeting.size());
    if (step.event != zmtp::CurveEvent::answer) {
        fail(PeerFault::unable);
        return {};
    }
    return {out_, greeting.size() + step.to_send};
}

CurveLink::Event CurveLink::next(char*& at, char* end) noexcept {
    using Said = zmtp::CurveReader::Event;
    if (fault_ != PeerFault::none) return Event::fault;
    if (!is_greeted() && !greet(at, end)) return fault_ == PeerFault::none ? Event::need_more : Event::fault;
    switch (reader_.next(at, end)) {
        case Said::need_more: return Event::need_more;
        case Said::command: return hear_command();
        case Said::plain: return Event::plain;
        case Said::begin: return Event::begin;
        case Said::end: return Event::end;
        case Said::too_large:
        case Said::no_memory: return fail(PeerFault::no_memory);
        case Said::fault: break;
    }
    return fail(peer_fault(reader_.fault()));
}

// False: more of it is needed, or it is a fault.
bool CurveLink::greet(char*& at, const char* end) noexcept {
    for (; !is_greeted() && at != end; ++greeted_) {
        const PeerFault fault = fault_of_greeting(greeted_, *at++);
        if (fault == PeerFault::none) continue;
        fail(fault);
        return false;
    }
    return is_greeted();
}

CurveLink::Event CurveLink::hear_command() noexcept {
    const zmtp::CurveStep step = client_.hear(reader_.command(), reader_.command_size(), out_);
    to_send_ = step.to_send;
    switch (step.event) {
        case zmtp::CurveEvent::answer: return Event::answer;
        case zmtp::CurveEvent::ready:
            reader_.begin_traffic(client_.traffic());
            is_ready_ = true;
            return Event::ready;
        case zmtp::CurveEvent::asks:  // a server alone is asked
        case zmtp::CurveEvent::fault: break;
    }
    return fail(peer_fault(client_.fault()));
}

bool CurveLink::seal(Kind kind, std::string_view body, char* out) noexcept {
    if (is_ready_ && client_.traffic().seal(kind, body, out)) return true;
    fail(PeerFault::unable);
    return false;
}

bool CurveLink::seal_frames(std::string_view frames, char* out) noexcept {
    while (!frames.empty()) {
        Kind kind = Kind::last;
        const std::string_view body = take_frame(frames, kind);
        if (!seal(kind, body, out)) return false;
        out += zmtp::CurveTraffic::sealed_size(body.size());
    }
    return true;
}

size_t CurveLink::sealed_size(std::string_view frames) noexcept {
    size_t size = 0;
    while (!frames.empty()) {
        if (!begins_with_frame(frames)) return 0;
        Kind kind = Kind::last;
        size += zmtp::CurveTraffic::sealed_size(take_frame(frames, kind).size());
    }
    return size;
}

CurveLink::Event CurveLink::fail(PeerFault fault) noexcept {
    give_up(fault);
    return Event::fault;
}

void CurveLink::give_up(PeerFault fault) noexcept {
    if (fault_ == PeerFault::none) fault_ = fault;
    is_ready_ = false;
    to_send_ = 0;
    client_.traffic().key().wipe();
    reader_.release();
}

}  // namespace laplace
