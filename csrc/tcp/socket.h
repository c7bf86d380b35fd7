// Sockets of TCP as servers and clients need them: they never block, no process that is started inherits them, and
// what a peer does is a result, never a signal. Errors are errnos on every system.
#ifndef LAPLACE_SOCKET_H
#define LAPLACE_SOCKET_H

#include <cstddef>

#include "tcp/address.h"
#include "tcp/descriptor.h"

namespace laplace {

// ---- listening

// Binds and listens; two servers cannot have one port. Accepted sockets get the same buffer for sending
// (0: the system's). Returns 0 or an errno; then nothing is open.
int open_listening_socket(const Address& address, int backlog, int send_buffer, Descriptor& opened) noexcept;

// Takes one connection that waits. Returns 0 or an errno, of which classify_accept_error() says what
// it means; then nothing is open.
int accept_connection(Descriptor listener, Descriptor& accepted, Address& peer) noexcept;

enum class AcceptError {
    none_waiting,
    try_again,         // that connection was given up by its peer; there may be others
    out_of_resources,  // of descriptors or memory: it still waits
    failed
};
AcceptError classify_accept_error(int error) noexcept;
// Nobody listens there any more, also where a child that was forked meanwhile has the socket too.
void close_listening_socket(Descriptor socket) noexcept;

// ---- connecting

// Makes a socket that is not connected. Returns 0 or an errno; then nothing is open.
int open_socket(bool ipv6, Descriptor& opened) noexcept;
// Begins to connect it. Returns 0 where somebody took the connection at once, EINPROGRESS, or another
// errno: of the network, or of the peer.
int begin_connecting(Descriptor socket, const Address& address) noexcept;
// What has become of that, once the socket is writable or broken. Returns 0 or an errno.
int connecting_result(Descriptor socket) noexcept;

// ---- options

// When a peer is given up that lost its power or its network.
struct Keepalive {
    int idle_s, interval_s, probes;  // where nothing is on its way to it
    int unconfirmed_ms;              // where something is; as far as the system knows such a limit

    // Once that time is over, Linux closes at the first probe that is not answered: a packet that is lost
    // may not be enough.
    constexpr bool waits_for_all_probes() const noexcept {
        return 1000 * (idle_s + (probes - 1) * interval_s) < unconfirmed_ms;
    }
};
// Of both ends of a connection: a minute, whether something is on its way or not.
constexpr Keepalive usual_keepalive{30, 10, 3, 60000};
static_assert(usual_keepalive.waits_for_all_probes());
// Each returns 0 or an errno; some systems refuse where the peer is gone already.
int set_keepalive(Descriptor socket, const Keepalive& keepalive) noexcept;
int set_no_delay(Descriptor socket) noexcept;

// The socket's own end. Returns 0 or an errno.
int local_address(Descriptor socket, Address& address) noexcept;

// ---- bytes

enum class IoState {
    moved,        // some bytes, perhaps fewer than wanted
    would_block,  // none now; a Poller says when
    closed,       // of a receive: the peer sends no more
    failed        // the connection is lost
};
struct IoResult {
    IoState state;
    size_t bytes;  // moved
    int error;     // of a failure
};

struct Piece {
    const void* data;
    size_t size;
};
constexpr size_t most_pieces = 64;  // that one call sends

// `size` and the sum of all pieces are not 0.
IoResult receive_bytes(Descriptor socket, void* data, size_t size) noexcept;
IoResult send_bytes(Descriptor socket, const void* data, size_t size) noexcept;
// In one piece on the network. Of more than most_pieces, the first are sent.
IoResult send_pieces(Descriptor socket, const Piece* pieces, size_t count) noexcept;

// ---- ends

// Nothing more is received, and who waits to do so is told. Some systems cannot.
void shut_down_receiving(Descriptor socket) noexcept;
// The peer will read the end after what was sent. Returns 0 or an errno: of a connection that is lost.
int shut_down_sending(Descriptor socket) noexcept;
// How many of the bytes that were sent the peer's system has not confirmed; 0 where this one cannot say.
size_t unconfirmed_bytes(Descriptor socket) noexcept;
// What was sent still leaves; what was not received, or comes later, makes it a reset.
void close_socket(Descriptor socket) noexcept;

}  // namespace laplace

#endif
