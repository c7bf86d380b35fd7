// What the two sides of a connection say to each other besides messages, and the kinds of sockets
// that they are: everything of ZMTP 3.1 over NULL that we send, as bytes, and what CURVE shares with it.
#ifndef LAPLACE_ZMTP_COMMANDS_H
#define LAPLACE_ZMTP_COMMANDS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace laplace::zmtp {

enum class SocketType : uint8_t { unknown, req, rep, dealer, router };

// As READY has it; empty for `unknown`.
std::string_view name_of(SocketType type) noexcept;
// `unknown` where we know none of that name, which is written in capitals.
SocketType socket_type(std::string_view name) noexcept;
// Whether sockets of these types may be connected. Who did not say its type may talk to anyone.
bool may_talk(SocketType own, SocketType peer) noexcept;

constexpr size_t greeting_size = 64;
// So much of it is the same whatever the mechanism, which follows.
constexpr size_t greeting_in_common = 12;
constexpr size_t max_identity = 255;
constexpr size_t max_reason = 255;
constexpr size_t max_ping_context = 16;

constexpr size_t max_metadata = (1 + 11 + 4 + 6) + (1 + 8 + 4 + max_identity);
constexpr size_t max_ready = 9 + 6 + max_metadata;
constexpr size_t max_error = 9 + 6 + 1 + max_reason;
constexpr size_t max_ping = 2 + 5 + 2 + max_ping_context;
constexpr size_t max_pong = 2 + 5 + max_ping_context;

// ZMTP 3.1, NULL. Either side sends it at once.
std::string_view greeting() noexcept;
// The same with CURVE, where one end is the server and says so.
std::string_view curve_greeting(bool as_server) noexcept;

// Each writes a command as a frame, at most as many bytes as its maximum above, and returns what is
// behind it. What is too long is cut.
char* encode_ready(SocketType own, std::string_view identity, char* out) noexcept;
// What READY says, without the command around it.
char* encode_metadata(SocketType own, std::string_view identity, char* out) noexcept;
char* encode_error(std::string_view reason, char* out) noexcept;  // printable characters, no space
char* encode_ping(unsigned ttl_tenths, std::string_view context, char* out) noexcept;  // ttl: up to 65,535
char* encode_pong(std::string_view context, char* out) noexcept;

}  // namespace laplace::zmtp

#endif
