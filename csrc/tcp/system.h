// The system's headers of sockets, and its errors. For the sources of this folder only.
#ifndef LAPLACE_SYSTEM_H
#define LAPLACE_SYSTEM_H

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX  // MinGW's C++ headers define it themselves
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include <cerrno>

namespace laplace {

#ifdef _WIN32
// The errno of an error of Winsock, as libzmq gives it to its users.
int errno_of_winsock(int code) noexcept;
inline int last_error() noexcept { return errno_of_winsock(WSAGetLastError()); }
#else
inline int last_error() noexcept { return errno; }
#endif

inline bool is_would_block(int error) noexcept {
    return error == EAGAIN || error == EWOULDBLOCK;  // one number on most systems
}

}  // namespace laplace

#endif
