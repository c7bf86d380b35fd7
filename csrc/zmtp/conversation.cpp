#include "zmtp/conversation.h"

#include <algorithm>

#include "zmtp/metadata.h"

namespace laplace::zmtp {

namespace {

constexpr size_t first_of_version = 10;
constexpr size_t first_of_mechanism = 12;
constexpr size_t end_of_mechanism = 32;
constexpr unsigned oldest_version = 3;

constexpr size_t longest_known_name = 5;  // of a command
constexpr size_t longest_socket_type = 6;
constexpr size_t value_size_size = 4;
constexpr size_t ttl_size = 2;
constexpr size_t ping_begin = 5;  // in the scratch; in front of it is room for the PONG's header and name

constexpr std::string_view incompatible = "incompatible-socket-type";  // RFC 37 allows no spaces

// What shows in the byte of a greeting that it is not one of ZMTP 3 over NULL. Of the signature only
// this much is significant; newer versions must be taken for ours; NULL has no server.
Fault fault_of_greeting(size_t place, char byte) noexcept {
    if (place == 0) return byte == '\xFF' ? Fault::none : Fault::not_zmtp;
    if (place == first_of_version - 1) return (byte_of(byte) & 1) != 0 ? Fault::none : Fault::not_zmtp;
    if (place == first_of_version) return byte_of(byte) >= oldest_version ? Fault::none : Fault::version;
    if (place < first_of_mechanism || place >= end_of_mechanism) return Fault::none;
    return byte == greeting()[place] ? Fault::none : Fault::mechanism;
}

bool is_printable(char character) noexcept { return character >= ' ' && character <= '~'; }

}  // namespace

// ---- one state after the other

Conversation::Event Conversation::go_on(const char*& at, const char* end) noexcept {
    for (;;) {
        switch (state_) {
            case State::greeting:
                if (!read_greeting(at, end)) return stopped();
                await_frame();
                break;
            case State::frame:
                if (at == end) return Event::need_more;
                await(State::header, 1);
                break;
            case State::header:
                if (!read_header(at, end)) return stopped();
                if (state_ == State::body) return Event::frame;
                if (traffic_) return Event::command;
                break;
            case State::body: return next(at, end);
            case State::command_size:
                if (!gather(at, end) || !begin_command()) return stopped();
                break;
            case State::command_name:
                if (!gather(at, end) || !name_command()) return stopped();
                if (traffic_ && is_gathered("PONG")) return Event::pong;
                break;
            case State::ping:
                if (!gather(at, end)) return stopped();
                answer_ping();
                return Event::ping;
            case State::error_size:
                if (!gather(at, end) || !begin_reason()) return stopped();
                break;
            case State::error_reason:
                if (!gather(at, end)) return stopped();
                end_reason();
                break;
            case State::property:
                if (left_ == 0) return end_handshake();
                await(State::name_size, 1);
                break;
            case State::name_size:
                if (!gather(at, end) || !begin_name()) return stopped();
                break;
            case State::name:
                if (!read_name(at, end) || !end_name()) return stopped();
                break;
            case State::value_size:
                if (!gather(at, end) || !begin_value()) return stopped();
                break;
            case State::value:
                if (!gather(at, end) || !end_socket_type()) return stopped();
                break;
            case State::skipped_value:
                value_left_ = static_cast<uint16_t>(value_left_ - skip(at, end, value_left_));
                if (value_left_ != 0) return Event::need_more;
                state_ = State::property;
                break;
            case State::skipped_command:
                left_ -= skip(at, end, left_);
                if (left_ != 0) return Event::need_more;
                await_frame();
                break;
            case State::over: return Event::fault;
        }
    }
}

Conversation::Event Conversation::fail(Fault fault) noexcept {
    state_ = State::over;
    fault_ = fault;
    to_send_ = 0;
    return Event::fault;
}

// Of what is refused, nothing is kept.
bool Conversation::refuse(Fault fault) noexcept {
    fail(fault);
    return false;
}

// ---- bytes

// The next state begins when so many bytes have come to the scratch.
void Conversation::await(State state, size_t size) noexcept {
    state_ = state;
    gathered_ = 0;
    wanted_ = static_cast<uint8_t>(size);
}

void Conversation::await_frame() noexcept {
    if (traffic_) {
        state_ = State::frame;
    } else {
        await(State::header, 1);
    }
}

// Whether all that is awaited has come.
bool Conversation::gather(const char*& at, const char* end) noexcept {
    const size_t missing = static_cast<size_t>(wanted_ - gathered_);
    const size_t size = std::min(missing, static_cast<size_t>(end - at));
    if (size != 0) std::memcpy(scratch_ + gathered_, at, size);
    at += size;
    gathered_ = static_cast<uint8_t>(gathered_ + size);
    return size == missing;
}

size_t Conversation::skip(const char*& at, const char* end, uint64_t most) const noexcept {
    const size_t given = static_cast<size_t>(end - at);
    const size_t size = most < given ? static_cast<size_t>(most) : given;
    at += size;
    return size;
}

bool Conversation::is_gathered(std::string_view text) const noexcept {
    return std::string_view(scratch_, gathered_) == text;
}

// ---- greeting and headers

bool Conversation::read_greeting(const char*& at, const char* end) noexcept {
    for (; gathered_ < greeting_size && at != end; ++gathered_) {
        const Fault fault = fault_of_greeting(gathered_, *at++);
        if (fault != Fault::none) return refuse(fault);
    }
    return gathered_ == greeting_size;
}

bool Conversation::read_header(const char*& at, const char* end) noexcept {
    if (!gather(at, end)) return false;
    const unsigned flags = byte_of(scratch_[0]);
    const bool is_command = (flags & flag_command) != 0;
    if (wanted_ == 1) {
        const bool more = (flags & flag_more) != 0;
        if (flags > all_flags || (is_command && more)) return refuse(Fault::malformed);
        if (!is_command && !traffic_) return refuse(Fault::malformed);
        wanted_ = (flags & flag_long) != 0 ? long_header : short_header;
        if (!gather(at, end)) return false;
    }
    left_ = wanted_ == long_header ? read_uint64(scratch_ + 1) : byte_of(scratch_[1]);
    if (left_ > max_frame_size) return refuse(Fault::malformed);
    if (!is_command) {
        more_ = (flags & flag_more) != 0;
        state_ = State::body;
        return true;
    }
    if (left_ == 0 || (!traffic_ && left_ > max_handshake_command)) return refuse(Fault::malformed);
    await(State::command_size, 1);
    return true;
}

// ---- commands

bool Conversation::begin_command() noexcept {
    const unsigned size = byte_of(scratch_[0]);
    left_ -= 1;
    if (size == 0 || size > left_) return refuse(Fault::malformed);
    if (size <= longest_known_name) {
        left_ -= size;
        await(State::command_name, size);
    } else if (traffic_) {
        state_ = State::skipped_command;
    } else {
        return refuse(Fault::malformed);
    }
    return true;
}

// In the handshake, there are no others than READY and ERROR.
bool Conversation::name_command() noexcept {
    state_ = State::skipped_command;
    if (is_gathered("ERROR")) {
        if (left_ == 0) return refuse(Fault::malformed);
        await(State::error_size, 1);
    } else if (!traffic_) {
        if (!is_gathered("READY")) return refuse(Fault::malformed);
        state_ = State::property;
    } else if (is_gathered("PING")) {
        if (left_ < ttl_size) return refuse(Fault::malformed);
        const size_t size = static_cast<size_t>(std::min<uint64_t>(left_, ttl_size + max_ping_context));
        left_ -= size;
        await(State::ping, ping_begin + size);
        gathered_ = ping_begin;
    }
    return true;
}

// The scratch has the time to live and the context. A context longer than is allowed is cut, as libzmq does.
void Conversation::answer_ping() noexcept {
    ping_ttl_ = static_cast<uint16_t>(byte_of(scratch_[ping_begin]) << 8 | byte_of(scratch_[ping_begin + 1]));
    const std::string_view context(scratch_ + ping_begin + ttl_size, gathered_ - ping_begin - ttl_size);
    to_send_ = static_cast<uint8_t>(encode_pong(context, scratch_) - scratch_);
    state_ = State::skipped_command;
}

bool Conversation::begin_reason() noexcept {
    const unsigned size = byte_of(scratch_[0]);
    left_ -= 1;
    if (size != left_) return refuse(Fault::malformed);
    await(State::error_reason, std::min<size_t>(size, sizeof scratch_));
    return true;
}

void Conversation::end_reason() noexcept {
    for (size_t i = 0; i < gathered_; ++i) {
        if (!is_printable(scratch_[i])) scratch_[i] = '?';
    }
    fail(Fault::refused_by_peer);
}

// ---- the properties of READY

bool Conversation::begin_name() noexcept {
    const unsigned size = byte_of(scratch_[0]);
    left_ -= 1;
    if (size == 0 || size > left_) return refuse(Fault::malformed);
    left_ -= size;
    await(State::name, size);
    return true;
}

// As gather(), but of a name that is longer than the scratch only the beginning is kept.
bool Conversation::read_name(const char*& at, const char* end) noexcept {
    for (; gathered_ < wanted_ && at != end; ++gathered_, ++at) {
        if (!belongs_in_name(*at)) return refuse(Fault::malformed);
        if (gathered_ < sizeof scratch_) scratch_[gathered_] = lower(*at);
    }
    return gathered_ == wanted_;
}

bool Conversation::end_name() noexcept {
    property_ = is_gathered("socket-type") ? Property::socket_type
                : is_gathered("identity")  ? Property::identity
                                           : Property::other;
    if (left_ < value_size_size) return refuse(Fault::malformed);
    left_ -= value_size_size;
    await(State::value_size, value_size_size);
    return true;
}

// A READY has 4 KiB, so a value cannot be too long for the numbers here.
bool Conversation::begin_value() noexcept {
    uint32_t size = 0;
    for (size_t i = 0; i < value_size_size; ++i) size = size << 8 | byte_of(scratch_[i]);
    if (size > left_) return refuse(Fault::malformed);
    left_ -= size;
    if (property_ == Property::socket_type) {
        if (size > longest_socket_type) return refuse_socket_type();
        await(State::value, size);
        return true;
    }
    if (property_ == Property::identity && size > max_identity) return refuse(Fault::malformed);
    value_left_ = static_cast<uint16_t>(size);
    state_ = State::skipped_value;
    return true;
}

bool Conversation::end_socket_type() noexcept {
    peer_ = socket_type({scratch_, gathered_});
    if (peer_ == SocketType::unknown || !may_talk(own_, peer_)) return refuse_socket_type();
    state_ = State::property;
    return true;
}

bool Conversation::refuse_socket_type() noexcept {
    refuse(Fault::socket_type);
    to_send_ = static_cast<uint8_t>(encode_error(incompatible, scratch_) - scratch_);
    return false;
}

Conversation::Event Conversation::end_handshake() noexcept {
    traffic_ = true;
    await_frame();
    const bool asked = own_ == SocketType::router;
    to_send_ = asked ? static_cast<uint8_t>(encode_ready(own_, {}, scratch_) - scratch_) : uint8_t{0};
    return Event::ready;
}

}  // namespace laplace::zmtp
