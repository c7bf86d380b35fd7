// One side of one connection that speaks ZMTP 3.0 or 3.1 over NULL, without the connection: told the
// bytes that came, it says what they are and what to answer. No clock, no socket, no allocation; how
// the bytes are cut makes no difference.
//
// When there is a connection, send greeting() and, unless we are a ROUTER, encode_ready(); then call
// next() with all that comes.
#ifndef LAPLACE_ZMTP_CONVERSATION_H
#define LAPLACE_ZMTP_CONVERSATION_H

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "zmtp/commands.h"
#include "zmtp/frames.h"

namespace laplace::zmtp {

// Why a conversation is over. Nothing is said or heard after it.
enum class Fault : uint8_t {
    none,
    not_zmtp,        // what came is no greeting
    version,         // older than ZMTP 3
    mechanism,       // not NULL
    socket_type,     // one that ours does not talk to
    malformed,       // against the rules of ZMTP
    refused_by_peer  // it said ERROR
};

class Conversation {
public:
    enum class Event : uint8_t {
        need_more,  // all that came is used
        ready,      // the handshake is over
        frame,      // the header of a message's frame: more(), left(). Pieces follow
        piece,      // piece() of that frame. One at least, of size 0 where the frame is empty
        command,    // the header of a command, of which left() bytes follow. PING and PONG follow as events
        ping,       // ping_ttl()
        pong,
        fault       // fault(), reason()
    };

    // What we are, as READY says. A ROUTER answers the peer's READY, others send theirs first.
    explicit Conversation(SocketType own) noexcept : own_(own) {}

    // Goes on behind the handshake, which somebody else has made with a peer of this type, from some place of
    // the greeting on.
    void begin_traffic(SocketType peer) noexcept {
        assert(state_ == State::greeting);
        peer_ = peer;
        traffic_ = true;
        state_ = State::frame;
    }

    // What comes next in [at, end), and `at` moves behind it.
    Event next(const char*& at, const char* end) noexcept;

    // After `ready`, `ping` and `fault`: what to answer to that, until the next call; maybe nothing.
    std::string_view to_send() const noexcept { return {scratch_, to_send_}; }

    // Of the frame whose header was read last.
    bool more() const noexcept { return more_; }
    // How many bytes of it, or of a command, are still to come.
    uint64_t left() const noexcept { return left_; }
    // A part of what was given to next().
    std::string_view piece() const noexcept { return piece_; }
    // Whether the next piece is awaited: who reads a frame into memory of its own then says took().
    bool in_frame() const noexcept { return state_ == State::body; }
    void took(uint64_t size) noexcept {
        assert(in_frame() && size <= left_);
        left_ -= size;
        if (left_ == 0) state_ = State::frame;
    }
    // Whether the next byte is the first of a frame: who reads whole frames in the bytes that it would
    // give to next() may keep these from it.
    bool at_frame() const noexcept { return state_ == State::frame; }
    bool in_handshake() const noexcept { return !traffic_; }
    // Bytes of the greeting that have come.
    size_t greeted() const noexcept { return state_ == State::greeting ? gathered_ : greeting_size; }

    SocketType peer() const noexcept { return peer_; }  // unknown where it does not say
    // Tenths of a second after which a peer that says nothing more is dead; 0: it did not say.
    uint16_t ping_ttl() const noexcept { return ping_ttl_; }
    Fault fault() const noexcept { return fault_; }
    // Of ERROR, in printable ASCII, and not all of a long one.
    std::string_view reason() const noexcept {
        return fault_ == Fault::refused_by_peer ? std::string_view(scratch_, gathered_) : std::string_view();
    }

private:
    enum class State : uint8_t {
        greeting,
        header,  // of a frame in the handshake, or of one that has begun
        frame,   // the same, in traffic, and nothing of it has come
        body,
        command_size,
        command_name,
        ping,
        error_size,
        error_reason,
        property,  // or the end of READY
        name_size,
        name,
        value_size,
        value,
        skipped_value,
        skipped_command,
        over  // by a fault
    };
    enum class Property : uint8_t { other, socket_type, identity };

    Event go_on(const char*& at, const char* end) noexcept;
    Event stopped() const noexcept { return state_ == State::over ? Event::fault : Event::need_more; }
    Event fail(Fault fault) noexcept;
    bool refuse(Fault fault) noexcept;

    void await(State state, size_t size) noexcept;
    void await_frame() noexcept;
    bool gather(const char*& at, const char* end) noexcept;
    size_t skip(const char*& at, const char* end, uint64_t most) const noexcept;
    bool is_gathered(std::string_view text) const noexcept;

    // What returns false needs more, or has refused.
    bool read_greeting(const char*& at, const char* end) noexcept;
    bool read_header(const char*& at, const char* end) noexcept;
    bool begin_command() noexcept;
    bool name_command() noexcept;
    void answer_ping() noexcept;
    bool begin_reason() noexcept;
    void end_reason() noexcept;
    bool begin_name() noexcept;
    bool read_name(const char*& at, const char* end) noexcept;
    bool end_name() noexcept;
    bool begin_value() noexcept;
    bool end_socket_type() noexcept;
    bool refuse_socket_type() noexcept;
    Event end_handshake() noexcept;

    static constexpr uint64_t max_handshake_command = 4096;

    uint64_t left_ = 0;
    std::string_view piece_;
    // Where small things are put together: a header, a name, a value, what is answered, a reason.
    char scratch_[44] = {};
    uint16_t ping_ttl_ = 0;
    uint16_t value_left_ = 0;
    uint8_t gathered_ = 0;  // of scratch_
    uint8_t wanted_ = 0;
    uint8_t to_send_ = 0;
    State state_ = State::greeting;
    bool more_ = false;
    bool traffic_ = false;
    SocketType own_;
    SocketType peer_ = SocketType::unknown;
    Property property_ = Property::other;
    Fault fault_ = Fault::none;
};
static_assert(sizeof(Conversation) <= 96, "each connection has one");

inline Conversation::Event Conversation::next(const char*& at, const char* end) noexcept {
    const size_t given = static_cast<size_t>(end - at);
    if (state_ == State::frame && given >= short_header && byte_of(*at) <= flag_more) {
        more_ = *at != 0;
        left_ = byte_of(at[1]);
        at += short_header;
        state_ = State::body;
        return Event::frame;
    }
    if (state_ != State::body) return go_on(at, end);
    if (given == 0 && left_ != 0) return Event::need_more;
    const size_t size = left_ < given ? static_cast<size_t>(left_) : given;
    piece_ = {at, size};
    at += size;
    took(size);
    return Event::piece;
}

}  // namespace laplace::zmtp

#endif
