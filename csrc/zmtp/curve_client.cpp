#include "zmtp/curve_client.h"

#include <algorithm>
#include <cassert>

#include "zmtp/metadata.h"

namespace laplace::zmtp {

using namespace curve;
using crypto::Nonce;
using crypto::PublicKey;
using crypto::SharedKey;

namespace {

constexpr uint64_t number_of_hello = 1;
constexpr uint64_t number_of_initiate = 2;

}  // namespace

// The handshake's keys are of no more use either way.
CurveStep CurveClient::fail(CurveFault fault) noexcept {
    state_ = State::over;
    fault_ = fault;
    transient_.secret_key.wipe();
    with_server_.wipe();
    traffic_.key().wipe();
    return {CurveEvent::fault, 0};
}

CurveStep CurveClient::begin(char* out) noexcept {
    assert(state_ == State::begin);
    if (!make_keys(transient_)) return fail(CurveFault::unable);
    if (!share(server_, transient_.secret_key, with_server_)) return fail(CurveFault::not_authentic);
    char* const hello = detail::encode_header(flag_command, hello_size, out);
    std::memset(hello, 0, hello_size);
    put(hello_name, hello);
    hello[hello_version] = 1;
    put_key(transient_.public_key, hello + hello_client);
    put_number(number_of_hello, hello + hello_number);
    const Nonce nonce = Nonce::of_number(hello_prefix, hello + hello_number);
    if (!crypto::seal_in_place(hello + hello_box, hello_text, nonce, with_server_)) return fail(CurveFault::unable);
    state_ = State::welcome;
    return {CurveEvent::answer, short_header + hello_size};
}

CurveStep CurveClient::hear(char* command, size_t size, char* out) noexcept {
    switch (state_) {
        case State::welcome:
        case State::ready:
            if (begins_with(command, size, error_name)) return hear_error(command, size);
            return state_ == State::welcome ? hear_welcome(command, size, out) : hear_ready(command, size);
        case State::begin:
        case State::traffic: return fail(CurveFault::malformed);
        case State::over: break;
    }
    return {CurveEvent::fault, 0};
}

// ---- WELCOME, INITIATE

CurveStep CurveClient::hear_welcome(char* command, size_t size, char* out) noexcept {
    if (size != welcome_size || !begins_with(command, size, welcome_name)) return fail(CurveFault::malformed);
    const Nonce nonce = Nonce::of_random(welcome_prefix, command + welcome_random);
    if (!crypto::open_in_place(command + welcome_box, box_overhead + welcome_text, nonce, with_server_))
        return fail(CurveFault::not_authentic);
    const char* const text = command + welcome_box + box_overhead;
    PublicKey theirs;
    take_key(text, theirs);
    if (!share(theirs, transient_.secret_key, traffic_.key())) return fail(CurveFault::not_authentic);
    const CurveStep step = put_initiate(text + key_size, theirs, out);
    transient_.secret_key.wipe();
    with_server_.wipe();
    return step;
}

CurveStep CurveClient::put_initiate(const char* cookie, const PublicKey& theirs, char* out) noexcept {
    char metadata[max_metadata];
    const size_t metadata_size = static_cast<size_t>(encode_metadata(own_, identity_, metadata) - metadata);
    const size_t size = initiate_metadata + metadata_size;
    char* const initiate = detail::encode_header(flag_command, size, out);
    put(initiate_name, initiate);
    put({cookie, cookie_size}, initiate + initiate_cookie);
    put_number(number_of_initiate, initiate + initiate_number);
    put_key(client_.public_key, initiate + initiate_text);
    if (!put_vouch(theirs, initiate + initiate_vouch)) return fail(CurveFault::not_authentic);
    put({metadata, metadata_size}, initiate + initiate_metadata);
    const Nonce nonce = Nonce::of_number(initiate_prefix, initiate + initiate_number);
    if (!crypto::seal_in_place(initiate + initiate_box, size - initiate_text, nonce, traffic_.key()))
        return fail(CurveFault::unable);
    state_ = State::ready;
    return {CurveEvent::answer, static_cast<size_t>(initiate + size - out)};
}

// Says with our lasting key that this connection is ours, and with which server.
bool CurveClient::put_vouch(const PublicKey& theirs, char* vouch) const noexcept {
    SharedKey with_theirs;
    if (!share(theirs, client_.secret_key, with_theirs)) return false;
    const Nonce nonce = put_random(vouch_prefix, vouch);
    char* const box = vouch + random_size;
    put_key(transient_.public_key, box + box_overhead);
    put_key(server_, box + box_overhead + key_size);
    return crypto::seal_in_place(box, vouch_text, nonce, with_theirs);
}

// ---- READY, ERROR

CurveStep CurveClient::hear_ready(char* command, size_t size) noexcept {
    if (size < ready_metadata || !begins_with(command, size, ready_name)) return fail(CurveFault::malformed);
    const char* const number = command + ready_number;
    const Nonce nonce = Nonce::of_number(ready_prefix, number);
    if (!crypto::open_in_place(command + ready_box, size - ready_box, nonce, traffic_.key()))
        return fail(CurveFault::not_authentic);
    switch (read_metadata({command + ready_metadata, size - ready_metadata}, own_, peer_)) {
        case MetadataState::malformed: return fail(CurveFault::malformed);
        case MetadataState::socket_type: return fail(CurveFault::socket_type);
        case MetadataState::good: break;
    }
    traffic_.begin(number_of_initiate, read_uint64(number));
    state_ = State::traffic;
    return {CurveEvent::ready, 0};
}

CurveStep CurveClient::hear_error(const char* command, size_t size) noexcept {
    const size_t reason_at = error_name.size() + 1;
    if (size < reason_at || byte_of(command[error_name.size()]) != size - reason_at) return fail(CurveFault::malformed);
    const size_t kept = std::min(size - reason_at, sizeof reason_);
    for (size_t i = 0; i < kept; ++i) {
        const char character = command[reason_at + i];
        reason_[i] = character >= ' ' && character <= '~' ? character : '?';
    }
    reason_size_ = static_cast<uint8_t>(kept);
    return fail(CurveFault::refused_by_peer);
}

}  // namespace laplace::zmtp
