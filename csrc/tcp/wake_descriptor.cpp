#include "tcp/wake_descriptor.h"

#include "tcp/system.h"

#ifdef __linux__
#include <sys/eventfd.h>
#endif
#ifndef _WIN32
#include <fcntl.h>
#include <unistd.h>
#endif

#include <cstdint>

#include "tcp/socket.h"

namespace laplace {

#ifdef _WIN32

namespace {

// Bound to a port of 127.0.0.1 and connected to it, so that no other socket is heard. Returns 0 or an errno.
int talk_to_itself(SOCKET socket) noexcept {
    u_long on = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    int size = sizeof address;
    const bool done = bind(socket, raw, size) == 0 && getsockname(socket, raw, &size) == 0 &&
                      connect(socket, raw, size) == 0 &&
                      ioctlsocket(socket, static_cast<long>(FIONBIO), &on) == 0;
    return done ? 0 : last_error();
}

}  // namespace

int WakeDescriptor::open() noexcept {
    const SOCKET socket =
        WSASocketW(AF_INET, SOCK_DGRAM, IPPROTO_UDP, nullptr, 0, WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
    if (socket == INVALID_SOCKET) return last_error();
    if (const int error = talk_to_itself(socket)) {
        closesocket(socket);
        return error;
    }
    read_end_ = write_end_ = socket;
    return 0;
}

void WakeDescriptor::ring() noexcept { send(write_end_, "", 1, 0); }

void WakeDescriptor::clear() noexcept {
    char byte;
    // Until nothing is there. A reset is an earlier send's, and what was sent later is behind it.
    while (recv(read_end_, &byte, 1, 0) >= 0 || WSAGetLastError() == WSAECONNRESET) {
    }
}

#elif defined(__linux__)

int WakeDescriptor::open() noexcept {
    const int opened = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (opened < 0) return errno;
    read_end_ = write_end_ = opened;
    return 0;
}

void WakeDescriptor::ring() noexcept {
    const uint64_t one = 1;
    // It can fail only where so many have rung that one more changes nothing.
    while (write(write_end_, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void WakeDescriptor::clear() noexcept {
    uint64_t all = 0;
    while (read(read_end_, &all, sizeof all) < 0 && errno == EINTR) {
    }
}

#else

int WakeDescriptor::open() noexcept {
    int ends[2];
    if (pipe(ends) != 0) return errno;
    for (const int end : ends) {
        if (fcntl(end, F_SETFL, O_NONBLOCK) == 0 && fcntl(end, F_SETFD, FD_CLOEXEC) == 0) continue;
        const int error = errno;
        close_socket(ends[0]);
        close_socket(ends[1]);
        return error;
    }
    read_end_ = ends[0];
    write_end_ = ends[1];
    return 0;
}

void WakeDescriptor::ring() noexcept {
    // A full pipe is as good.
    while (write(write_end_, "", 1) < 0 && errno == EINTR) {
    }
}

void WakeDescriptor::clear() noexcept {
    char bytes[256];
    for (;;) {
        const ssize_t count = read(read_end_, bytes, sizeof bytes);
        if (count < 0 ? errno != EINTR : count < static_cast<ssize_t>(sizeof bytes)) return;
    }
}

#endif

void WakeDescriptor::close() noexcept {
    if (write_end_ != read_end_) close_socket(write_end_);
    if (read_end_ != no_descriptor) close_socket(read_end_);
    read_end_ = write_end_ = no_descriptor;
}

}  // namespace laplace
