#include "tcp/network.h"

#ifdef _WIN32

#include "tcp/system.h"

namespace laplace {

int Network::open() noexcept {
    if (started_) return 0;
    WSADATA data;
    if (const int code = WSAStartup(MAKEWORD(2, 2), &data)) return errno_of_winsock(code);
    started_ = true;
    return 0;
}

void Network::close() noexcept {
    if (started_) WSACleanup();
    started_ = false;
}

int errno_of_winsock(int code) noexcept {
    switch (code) {
        case 0: return 0;
        case WSAEINTR: return EINTR;
        case WSAEBADF: return EBADF;
        case WSAEACCES: return EACCES;
        case WSAEINVAL: return EINVAL;
        case WSAEMFILE: return EMFILE;
        case WSAEWOULDBLOCK:  // libzmq says EBUSY, but none of its users ever sees this one
        case WSAEINPROGRESS:
        case WSAEALREADY:
        case WSAEHOSTDOWN: return EAGAIN;
        case WSAENOTSOCK: return ENOTSOCK;
        case WSAEMSGSIZE: return EMSGSIZE;
        case WSAENOPROTOOPT: return ENOPROTOOPT;  // as on other systems; in libzmq it ends the process
        case WSAEPROTONOSUPPORT:
        case WSAEPFNOSUPPORT: return EPROTONOSUPPORT;
        case WSAEAFNOSUPPORT: return EAFNOSUPPORT;
        case WSAEADDRINUSE: return EADDRINUSE;
        case WSAEADDRNOTAVAIL: return EADDRNOTAVAIL;
        case WSAENETDOWN: return ENETDOWN;
        case WSAENETUNREACH: return ENETUNREACH;
        case WSAENETRESET: return ENETRESET;
        case WSAECONNABORTED: return ECONNABORTED;
        case WSAECONNRESET: return ECONNRESET;
        case WSAENOBUFS: return ENOBUFS;
        case WSAENOTCONN: return ENOTCONN;
        case WSAESHUTDOWN: return EPIPE;
        case WSAETIMEDOUT: return ETIMEDOUT;
        case WSAECONNREFUSED: return ECONNREFUSED;
        case WSAEHOSTUNREACH: return EHOSTUNREACH;
        case WSA_NOT_ENOUGH_MEMORY: return ENOMEM;
        default: return EFAULT;
    }
}

}  // namespace laplace

#endif
