#include "tcp/socket.h"

#include <algorithm>
#include <climits>

#include "tcp/system.h"

#ifdef _WIN32
#include <mstcpip.h>
#else
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#endif

namespace laplace {

namespace {

#ifdef _WIN32
static_assert(sizeof(Descriptor) == sizeof(SOCKET) && no_descriptor == INVALID_SOCKET);
using Length = int;  // of options, addresses and transfers
constexpr size_t most_at_once = INT_MAX;
#else
using Length = socklen_t;
constexpr size_t most_at_once = SSIZE_MAX;
#endif

// A lost connection is an error of the call, not a signal that ends the process.
#if defined(MSG_NOSIGNAL) && !defined(SO_NOSIGPIPE)
constexpr int send_flags = MSG_NOSIGNAL;
#else
constexpr int send_flags = 0;
#endif

int set_option(Descriptor socket, int level, int option, int value) noexcept {
    const auto* const bytes = reinterpret_cast<const char*>(&value);
    return setsockopt(socket, level, option, bytes, sizeof value) == 0 ? 0 : last_error();
}

// What a socket needs that the system did not make so. Returns 0 or an errno.
int make_ours([[maybe_unused]] Descriptor socket) noexcept {
#ifdef _WIN32
    u_long on = 1;
    if (ioctlsocket(socket, static_cast<long>(FIONBIO), &on) != 0) return last_error();
    // Some layered providers have handles of another kind, which say no.
    SetHandleInformation(reinterpret_cast<HANDLE>(socket), HANDLE_FLAG_INHERIT, 0);
    return 0;
#else
#ifndef SOCK_CLOEXEC
    const int flags = fcntl(socket, F_GETFL);
    if (flags < 0 || fcntl(socket, F_SETFL, flags | O_NONBLOCK) != 0) return errno;
    if (fcntl(socket, F_SETFD, FD_CLOEXEC) != 0) return errno;
#endif
#ifdef SO_NOSIGPIPE
    return set_option(socket, SOL_SOCKET, SO_NOSIGPIPE, 1);
#else
    return 0;
#endif
#endif
}

Descriptor new_socket(int family) noexcept {
#ifdef _WIN32
    return WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, nullptr, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
#elif defined(SOCK_CLOEXEC)
    return ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
#else
    return ::socket(family, SOCK_STREAM, IPPROTO_TCP);
#endif
}

Descriptor accept_one(Descriptor listener, sockaddr_storage& peer, Length& size) noexcept {
#ifdef SOCK_CLOEXEC
    return accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    return accept(listener, reinterpret_cast<sockaddr*>(&peer), &size);
#endif
}

// Returns 0 or an errno.
int bind_and_listen(Descriptor socket, const Address& address, int backlog, int send_buffer) noexcept {
    int error = make_ours(socket);
    // On Windows, SO_REUSEADDR would let two servers have one port.
#ifdef _WIN32
    if (error == 0) error = set_option(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
#else
    if (error == 0) error = set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
#endif
    // Connections of IPv4 too.
    if (error == 0 && address.is_ipv6()) error = set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (error == 0 && send_buffer > 0) error = set_option(socket, SOL_SOCKET, SO_SNDBUF, send_buffer);
    if (error != 0) return error;
    const auto* const raw = static_cast<const sockaddr*>(address.raw());
    if (bind(socket, raw, static_cast<Length>(address.size())) != 0) return last_error();
    return listen(socket, backlog) == 0 ? 0 : last_error();
}

IoResult failed_with(int error) noexcept {
    if (is_would_block(error)) return {IoState::would_block, 0, 0};
    return {IoState::failed, 0, error};
}

IoResult send_failed_with(int error) noexcept {
    // Windows and macOS say so of a connection that only has to wait for memory.
    return error == ENOBUFS ? IoResult{IoState::would_block, 0, 0} : failed_with(error);
}

IoResult moved(size_t bytes) noexcept { return {IoState::moved, bytes, 0}; }

}  // namespace

int open_socket(bool ipv6, Descriptor& opened) noexcept {
    const Descriptor socket = new_socket(ipv6 ? AF_INET6 : AF_INET);
    if (socket == no_descriptor) return last_error();
    if (const int error = make_ours(socket)) {
        close_socket(socket);
        return error;
    }
    opened = socket;
    return 0;
}

int begin_connecting(Descriptor socket, const Address& address) noexcept {
    if (address.size() == 0) return EINVAL;
    const auto* const raw = static_cast<const sockaddr*>(address.raw());
    if (connect(socket, raw, static_cast<Length>(address.size())) == 0) return 0;
    const int error = last_error();
#ifdef _WIN32
    return is_would_block(error) ? EINPROGRESS : error;
#else
    return error == EINTR ? EINPROGRESS : error;
#endif
}

int connecting_result(Descriptor socket) noexcept {
    int error = 0;
    Length size = sizeof error;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, reinterpret_cast<char*>(&error), &size) != 0) return last_error();
#ifdef _WIN32
    error = errno_of_winsock(error);
#endif
    if (error != 0) return error;
    sockaddr_storage peer{};
    size = sizeof peer;
    return getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) == 0 ? 0 : last_error();
}

int open_listening_socket(const Address& address, int backlog, int send_buffer, Descriptor& opened) noexcept {
    if (address.size() == 0) return EINVAL;
    const Descriptor socket = new_socket(address.is_ipv6() ? AF_INET6 : AF_INET);
    if (socket == no_descriptor) return last_error();
    if (const int error = bind_and_listen(socket, address, backlog, send_buffer)) {
        close_socket(socket);
        return error;
    }
    opened = socket;
    return 0;
}

int accept_connection(Descriptor listener, Descriptor& accepted, Address& peer) noexcept {
    sockaddr_storage from{};
    Length size = sizeof from;
    const Descriptor socket = accept_one(listener, from, size);
    if (socket == no_descriptor) return last_error();
    int error = make_ours(socket);
    // A system may accept what its peer has given up, and then not know any more who it was.
    if (error == 0 && !peer.assign(&from, static_cast<size_t>(size))) error = ECONNABORTED;
    if (error == EINVAL) error = ECONNABORTED;  // macOS, of options then
    if (error != 0) {
        close_socket(socket);
        return error;
    }
    accepted = socket;
    return 0;
}

AcceptError classify_accept_error(int error) noexcept {
    if (is_would_block(error)) return AcceptError::none_waiting;
    switch (error) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            return AcceptError::out_of_resources;
        case EBADF:
        case EFAULT:
        case EINVAL:
        case ENOTSOCK:
            return AcceptError::failed;
        // Linux reports a connection's own errors where it is accepted, whatever they are: ECONNABORTED,
        // EPROTO, ETIMEDOUT, EHOSTUNREACH, ENETDOWN, EPERM of a firewall. A signal is as good.
        default:
            return AcceptError::try_again;
    }
}

#ifdef _WIN32

int set_keepalive(Descriptor socket, const Keepalive& keepalive) noexcept {
    tcp_keepalive times{};  // the number of probes cannot be chosen so
    times.onoff = 1;
    times.keepalivetime = static_cast<ULONG>(keepalive.idle_s) * 1000;
    times.keepaliveinterval = static_cast<ULONG>(keepalive.interval_s) * 1000;
    DWORD ignored = 0;
    if (WSAIoctl(socket, SIO_KEEPALIVE_VALS, &times, sizeof times, nullptr, 0, &ignored, nullptr, nullptr) != 0) {
        return last_error();
    }
#ifdef TCP_MAXRT
    const int error = set_option(socket, IPPROTO_TCP, TCP_MAXRT, std::max(1, keepalive.unconfirmed_ms / 1000));
    if (error != ENOPROTOOPT) return error;
#endif
    return 0;
}

#else

int set_keepalive(Descriptor socket, const Keepalive& keepalive) noexcept {
#ifdef TCP_KEEPIDLE
    constexpr int idle = TCP_KEEPIDLE;
#else
    constexpr int idle = TCP_KEEPALIVE;
#endif
    int error = set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (error == 0) error = set_option(socket, IPPROTO_TCP, idle, keepalive.idle_s);
    if (error == 0) error = set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, keepalive.interval_s);
    if (error == 0) error = set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, keepalive.probes);
#if defined(TCP_USER_TIMEOUT)
    if (error == 0) error = set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, keepalive.unconfirmed_ms);
#elif defined(TCP_RXT_CONNDROPTIME)
    const int seconds = std::max(1, keepalive.unconfirmed_ms / 1000);
    if (error == 0) error = set_option(socket, IPPROTO_TCP, TCP_RXT_CONNDROPTIME, seconds);
#endif
    return error;
}

#endif

int set_no_delay(Descriptor socket) noexcept { return set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1); }

int local_address(Descriptor socket, Address& address) noexcept {
    sockaddr_storage raw{};
    Length size = sizeof raw;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&raw), &size) != 0) return last_error();
    return address.assign(&raw, static_cast<size_t>(size)) ? 0 : EAFNOSUPPORT;
}

IoResult receive_bytes(Descriptor socket, void* data, size_t size) noexcept {
    size = std::min(size, most_at_once);
    for (;;) {
#ifdef _WIN32
        const int received = recv(socket, static_cast<char*>(data), static_cast<int>(size), 0);
#else
        const ssize_t received = recv(socket, data, size, 0);
#endif
        if (received > 0) return moved(static_cast<size_t>(received));
        if (received == 0) return {IoState::closed, 0, 0};
        const int error = last_error();
        if (error != EINTR) return failed_with(error);
    }
}

IoResult send_bytes(Descriptor socket, const void* data, size_t size) noexcept {
    size = std::min(size, most_at_once);
    for (;;) {
#ifdef _WIN32
        const int sent = send(socket, static_cast<const char*>(data), static_cast<int>(size), send_flags);
#else
        const ssize_t sent = send(socket, data, size, send_flags);
#endif
        if (sent >= 0) return moved(static_cast<size_t>(sent));
        const int error = last_error();
        if (error != EINTR) return send_failed_with(error);
    }
}

#ifdef _WIN32

IoResult send_pieces(Descriptor socket, const Piece* pieces, size_t count) noexcept {
    WSABUF buffers[most_pieces];
    DWORD used = 0;
    size_t room = most_at_once;  // in all
    for (; used < std::min(count, most_pieces) && room > 0; ++used) {
        const Piece& piece = pieces[used];
        const size_t size = std::min(piece.size, room);
        buffers[used].buf = static_cast<char*>(const_cast<void*>(piece.data));
        buffers[used].len = static_cast<ULONG>(size);
        room -= size;
    }
    DWORD sent = 0;
    if (WSASend(socket, buffers, used, &sent, 0, nullptr, nullptr) != 0) return send_failed_with(last_error());
    return moved(sent);
}

#else

IoResult send_pieces(Descriptor socket, const Piece* pieces, size_t count) noexcept {
    iovec buffers[most_pieces];
    const size_t used = std::min(count, most_pieces);
    for (size_t i = 0; i < used; ++i) {
        buffers[i].iov_base = const_cast<void*>(pieces[i].data);
        buffers[i].iov_len = pieces[i].size;
    }
    msghdr message{};
    message.msg_iov = buffers;
    message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(used);
    for (;;) {
        const ssize_t sent = sendmsg(socket, &message, send_flags);
        if (sent >= 0) return moved(static_cast<size_t>(sent));
        if (errno != EINTR) return send_failed_with(errno);
    }
}

#endif

void shut_down_receiving([[maybe_unused]] Descriptor socket) noexcept {
#ifndef _WIN32  // what came then would make it a reset there
    shutdown(socket, SHUT_RD);
#endif
}

void close_listening_socket(Descriptor socket) noexcept {
#ifndef _WIN32
    shutdown(socket, SHUT_RDWR);  // where the system knows no such end of a listening socket, it refuses
#endif
    close_socket(socket);
}

int shut_down_sending(Descriptor socket) noexcept {
#ifdef _WIN32
    constexpr int half = SD_SEND;
#else
    constexpr int half = SHUT_WR;
#endif
    return shutdown(socket, half) == 0 ? 0 : last_error();
}

size_t unconfirmed_bytes([[maybe_unused]] Descriptor socket) noexcept {
    int bytes = 0;
#if defined(SO_NWRITE)
    Length size = sizeof bytes;
    if (getsockopt(socket, SOL_SOCKET, SO_NWRITE, &bytes, &size) != 0) return 0;
#elif defined(TIOCOUTQ)
    if (ioctl(socket, TIOCOUTQ, &bytes) != 0) return 0;
#endif
    return bytes > 0 ? static_cast<size_t>(bytes) : 0;
}

void close_socket(Descriptor socket) noexcept {
#ifdef _WIN32
    closesocket(socket);
#else
    close(socket);
#endif
}

}  // namespace laplace
