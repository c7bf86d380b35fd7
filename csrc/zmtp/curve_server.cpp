#include "zmtp/curve_server.h"

#include <algorithm>
#include <cassert>

namespace laplace::zmtp {

using namespace curve;
using crypto::Nonce;
using crypto::PublicKey;
using crypto::SecretKey;
using crypto::SharedKey;

namespace {

constexpr std::string_view incompatible = "incompatible-socket-type";  // as over NULL
constexpr uint64_t number_of_ready = 1;

bool is_zero(const char* begin, size_t size) noexcept {
    return std::all_of(begin, begin + size, [](char byte) { return byte == 0; });
}

size_t put_error(std::string_view reason, char* out) noexcept {
    return static_cast<size_t>(encode_error(reason, out) - out);
}

}  // namespace

CurveStep CurveServer::fail(CurveFault fault, size_t to_send) noexcept {
    state_ = State::over;
    fault_ = fault;
    cookie_key_.wipe();
    traffic_.key().wipe();
    return {CurveEvent::fault, to_send};
}

CurveStep CurveServer::hear(char* command, size_t size, char* out) noexcept {
    switch (state_) {
        case State::hello: return hear_hello(command, size, out);
        case State::initiate: return hear_initiate(command, size);
        case State::asked:
        case State::ready: return fail(CurveFault::malformed);
        case State::over: break;
    }
    return {CurveEvent::fault, 0};
}

// ---- HELLO, WELCOME

CurveStep CurveServer::hear_hello(const char* command, size_t size, char* out) noexcept {
    if (size != hello_size || !begins_with(command, size, hello_name)) return fail(CurveFault::malformed);
    if (command[hello_version] != 1 || command[hello_version + 1] != 0) return fail(CurveFault::malformed);
    if (!is_zero(command + hello_padding, hello_client - hello_padding)) return fail(CurveFault::malformed);

    PublicKey client;
    take_key(command + hello_client, client);
    SharedKey with_client;
    if (!share(client, server_.secret_key, with_client)) return fail(CurveFault::not_authentic);
    const char* const number = command + hello_number;
    char box[box_overhead + hello_text];
    std::memcpy(box, command + hello_box, sizeof box);
    if (!crypto::open_in_place(box, sizeof box, Nonce::of_number(hello_prefix, number), with_client))
        return fail(CurveFault::wrong_server_key);
    if (!is_zero(box + box_overhead, hello_text)) return fail(CurveFault::malformed);
    heard_ = read_uint64(number);

    char* const welcome = detail::encode_header(flag_command, welcome_size, out);
    if (!put_welcome(client, with_client, welcome)) return fail(CurveFault::unable);
    state_ = State::initiate;
    return {CurveEvent::answer, short_header + welcome_size};
}

// The keys of the connection are made here, and forgotten.
bool CurveServer::put_welcome(const PublicKey& client, const SharedKey& with_client, char* welcome) noexcept {
    crypto::KeyPair own;
    if (!make_keys(own)) return false;
    put(welcome_name, welcome);
    const Nonce nonce = put_random(welcome_prefix, welcome + welcome_random);
    char* const text = welcome + welcome_box + box_overhead;
    put_key(own.public_key, text);
    return put_cookie(client, own.secret_key, text + key_size) &&
           crypto::seal_in_place(welcome + welcome_box, welcome_text, nonce, with_client);
}

// A secret stands in the cookie's text until it is sealed there. Where that fails, nothing may be left.
bool CurveServer::put_cookie(const PublicKey& client, const SecretKey& own, char* cookie) noexcept {
    crypto::sodium.randombytes_buf(cookie_key_.bytes, key_size);
    const Nonce nonce = put_random(cookie_prefix, cookie);
    char* const box = cookie + random_size;
    put_key(client, box + box_overhead);
    std::memcpy(box + box_overhead + key_size, own.bytes, key_size);
    if (crypto::seal_in_place(box, cookie_text, nonce, cookie_key_)) return true;
    crypto::sodium.memzero(box, box_overhead + cookie_text);
    return false;
}

// ---- INITIATE

CurveStep CurveServer::hear_initiate(char* command, size_t size) noexcept {
    if (size < initiate_metadata || !begins_with(command, size, initiate_name)) return fail(CurveFault::malformed);
    const char* const number_at = command + initiate_number;
    const uint64_t number = read_uint64(number_at);
    if (number <= heard_) return fail(CurveFault::replayed);

    PublicKey transient;
    SecretKey own;
    // What is no cookie of ours has cost little so far.
    if (!open_cookie(command + initiate_cookie, transient, own)) return fail(CurveFault::not_authentic);
    cookie_key_.wipe();
    if (!share(transient, own, traffic_.key())) return fail(CurveFault::not_authentic);
    const Nonce nonce = Nonce::of_number(initiate_prefix, number_at);
    if (!crypto::open_in_place(command + initiate_box, size - initiate_box, nonce, traffic_.key()))
        return fail(CurveFault::not_authentic);
    PublicKey client;
    take_key(command + initiate_text, client);
    if (!open_vouch(command + initiate_vouch, client, transient, own)) return fail(CurveFault::not_authentic);
    metadata_ = read_metadata({command + initiate_metadata, size - initiate_metadata}, own_, peer_);
    if (metadata_ == MetadataState::malformed) return fail(CurveFault::malformed);
    client_ = client;
    heard_ = number;
    state_ = State::asked;
    return {CurveEvent::asks, 0};
}

// The text is wiped: it has a secret key, and the command is the caller's.
bool CurveServer::open_cookie(char* cookie, PublicKey& client, SecretKey& own) const noexcept {
    char* const box = cookie + random_size;
    const Nonce nonce = Nonce::of_random(cookie_prefix, cookie);
    if (!crypto::open_in_place(box, box_overhead + cookie_text, nonce, cookie_key_)) return false;
    take_key(box + box_overhead, client);
    std::memcpy(own.bytes, box + box_overhead + key_size, key_size);
    crypto::sodium.memzero(box, box_overhead + cookie_text);
    return true;
}

// Whether the client says with its own key that it means this connection, and this server.
bool CurveServer::open_vouch(char* vouch, const PublicKey& client, const PublicKey& transient,
                             const SecretKey& own) const noexcept {
    SharedKey with_client;
    if (!share(client, own, with_client)) return false;
    char* const box = vouch + random_size;
    const Nonce nonce = Nonce::of_random(vouch_prefix, vouch);
    if (!crypto::open_in_place(box, box_overhead + vouch_text, nonce, with_client)) return false;
    const char* const text = box + box_overhead;
    return crypto::same(text, transient.bytes, key_size) &&
           crypto::same(text + key_size, server_.public_key.bytes, key_size);
}

// ---- READY, ERROR

CurveStep CurveServer::permit(char* out) noexcept {
    assert(state_ == State::asked);
    if (metadata_ == MetadataState::socket_type) return fail(CurveFault::socket_type, put_error(incompatible, out));
    char metadata[max_metadata];
    const size_t metadata_size = static_cast<size_t>(encode_metadata(own_, {}, metadata) - metadata);
    char* const ready = detail::encode_header(flag_command, ready_metadata + metadata_size, out);
    put(ready_name, ready);
    put_number(number_of_ready, ready + ready_number);
    put({metadata, metadata_size}, ready + ready_metadata);
    const Nonce nonce = Nonce::of_number(ready_prefix, ready + ready_number);
    if (!crypto::seal_in_place(ready + ready_box, metadata_size, nonce, traffic_.key()))
        return fail(CurveFault::unable);
    traffic_.begin(number_of_ready, heard_);
    state_ = State::ready;
    return {CurveEvent::ready, static_cast<size_t>(ready + ready_metadata + metadata_size - out)};
}

CurveStep CurveServer::refuse(char* out) noexcept {
    assert(state_ == State::asked);
    return fail(CurveFault::not_permitted, put_error(curve_not_permitted, out));
}

}  // namespace laplace::zmtp
