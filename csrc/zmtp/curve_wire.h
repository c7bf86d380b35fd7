// CurveZMQ (RFC 26) as it is on the wire: the fields of its commands, and why a connection that speaks it
// ends. A command is the body of a frame, its name included.
#ifndef LAPLACE_CURVE_WIRE_H
#define LAPLACE_CURVE_WIRE_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "crypto/box.h"
#include "zmtp/commands.h"
#include "zmtp/frames.h"

namespace laplace::zmtp {

// Why a connection is over. Nothing is said or heard over it any more.
enum class CurveFault : uint8_t {
    none,
    malformed,         // against the rules
    wrong_server_key,  // HELLO does not open: who sent it takes us for another server. It is told nothing
    not_authentic,     // what came was not made by whom it should be, or has been changed
    replayed,          // its number is not greater than the one before
    not_permitted,     // the client's key; ERROR tells it
    socket_type,       // one that ours does not talk to; ERROR tells a client
    refused_by_peer,   // the server said ERROR
    unable             // libsodium could not do its work here
};

// What an end of a connection makes of a command of the handshake. What it has to send then is a frame.
enum class CurveEvent : uint8_t {
    answer,  // send it, and wait for the next
    asks,    // the client is known: permit() it, or refuse()
    ready,   // send it, if anything; the handshake is over
    fault    // send it, if anything; the connection is over
};

struct CurveStep {
    CurveEvent event;
    size_t to_send;  // bytes that were written to where the caller said
};

// A reason that libzmq's clients understand: they stop trying.
constexpr std::string_view curve_not_permitted = "400";

namespace curve {

using crypto::box_overhead;
using crypto::key_size;

constexpr std::string_view hello_name = "\5HELLO";
constexpr std::string_view welcome_name = "\7WELCOME";
constexpr std::string_view initiate_name = "\10INITIATE";
constexpr std::string_view ready_name = "\5READY";
constexpr std::string_view error_name = "\5ERROR";
constexpr std::string_view message_name = "\7MESSAGE";

constexpr std::string_view hello_prefix = "CurveZMQHELLO---";
constexpr std::string_view welcome_prefix = "WELCOME-";
constexpr std::string_view cookie_prefix = "COOKIE--";
constexpr std::string_view initiate_prefix = "CurveZMQINITIATE";
constexpr std::string_view vouch_prefix = "VOUCH---";
constexpr std::string_view ready_prefix = "CurveZMQREADY---";
constexpr std::string_view client_message_prefix = "CurveZMQMESSAGEC";
constexpr std::string_view server_message_prefix = "CurveZMQMESSAGES";

constexpr size_t number_size = 8;
constexpr size_t random_size = crypto::Nonce::random_part;

// HELLO: version, padding, C', number, Box[64 zeros](C'->S). So large that no server is made to send more
// than it got.
constexpr size_t hello_version = hello_name.size();
constexpr size_t hello_padding = hello_version + 2;
constexpr size_t hello_client = hello_padding + 72;
constexpr size_t hello_number = hello_client + key_size;
constexpr size_t hello_box = hello_number + number_size;
constexpr size_t hello_text = 64;
constexpr size_t hello_size = hello_box + box_overhead + hello_text;
static_assert(hello_size == 200, "as RFC 26 has it");

// A cookie: random, Box[C' + s'](K).
constexpr size_t cookie_text = 2 * key_size;
constexpr size_t cookie_size = random_size + box_overhead + cookie_text;

// WELCOME: random, Box[S' + cookie](S->C').
constexpr size_t welcome_random = welcome_name.size();
constexpr size_t welcome_box = welcome_random + random_size;
constexpr size_t welcome_text = key_size + cookie_size;
constexpr size_t welcome_size = welcome_box + box_overhead + welcome_text;
static_assert(welcome_size == 168, "as RFC 26 has it");

// A vouch: random, Box[C' + S](C->S').
constexpr size_t vouch_text = 2 * key_size;
constexpr size_t vouch_size = random_size + box_overhead + vouch_text;

// INITIATE: cookie, number, Box[C + vouch + metadata](C'->S').
constexpr size_t initiate_cookie = initiate_name.size();
constexpr size_t initiate_number = initiate_cookie + cookie_size;
constexpr size_t initiate_box = initiate_number + number_size;
constexpr size_t initiate_text = initiate_box + box_overhead;
constexpr size_t initiate_vouch = initiate_text + key_size;
constexpr size_t initiate_metadata = initiate_vouch + vouch_size;
static_assert(initiate_metadata == 257, "as RFC 26 has it");

// READY: number, Box[metadata](S'->C').
constexpr size_t ready_number = ready_name.size();
constexpr size_t ready_box = ready_number + number_size;
constexpr size_t ready_metadata = ready_box + box_overhead;
static_assert(ready_metadata == 30, "as RFC 26 has it");

// MESSAGE: number, Box[flags + the frame's body].
constexpr size_t message_number = message_name.size();
constexpr size_t message_box = message_number + number_size;
constexpr size_t message_flags = message_box + box_overhead;
constexpr size_t message_body = message_flags + 1;
static_assert(message_body == 33, "as RFC 26 has it");
// Bits of the flags. RFC 26 has the first alone; the second is what libzmq and NetMQ mark PING by.
constexpr unsigned inner_more = 1;
constexpr unsigned inner_command = 2;

inline bool begins_with(const char* command, size_t size, std::string_view name) noexcept {
    return size >= name.size() && std::memcmp(command, name.data(), name.size()) == 0;
}

inline char* put(std::string_view bytes, char* out) noexcept {
    if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
    return out + bytes.size();
}

inline void put_number(uint64_t number, char* out) noexcept {
    for (int i = 0; i < 8; ++i) out[i] = static_cast<char>(number >> (56 - 8 * i) & 0xFF);
}

inline void put_key(const crypto::PublicKey& key, char* out) noexcept { std::memcpy(out, key.bytes, key_size); }
inline void take_key(const char* from, crypto::PublicKey& key) noexcept { std::memcpy(key.bytes, from, key_size); }

// A long nonce, and its part that is sent.
inline crypto::Nonce put_random(std::string_view prefix, char* out) noexcept {
    crypto::sodium.randombytes_buf(out, random_size);
    return crypto::Nonce::of_random(prefix, out);
}

}  // namespace curve

// The most that a handshake's frames may have.
constexpr size_t max_curve_hello = short_header + curve::hello_size;
constexpr size_t max_curve_welcome = short_header + curve::welcome_size;
constexpr size_t max_curve_initiate = long_header + curve::initiate_metadata + max_metadata;
constexpr size_t max_curve_ready = long_header + curve::ready_metadata + max_metadata;

}  // namespace laplace::zmtp

#endif
