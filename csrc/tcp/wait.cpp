#include "tcp/wait.h"

#include "tcp/system.h"

#ifndef _WIN32
#include <poll.h>
#endif

namespace laplace {

#ifdef _WIN32

// Not by WSAPoll, which in older versions says nothing of a connection that was refused.
int wait_for_socket(Descriptor socket, Interest interest, int milliseconds, Readiness& ready) noexcept {
    const auto only = [socket](bool wanted) {
        fd_set set;
        set.fd_count = wanted ? 1 : 0;
        set.fd_array[0] = socket;
        return set;
    };
    fd_set reading = only(wants(interest, Interest::read)), writing = only(wants(interest, Interest::write));
    fd_set failing = only(true);
    timeval time{};
    time.tv_sec = milliseconds / 1000;
    time.tv_usec = milliseconds % 1000 * 1000;
    ready = Readiness();
    if (select(0, &reading, &writing, &failing, &time) < 0) return last_error();
    const bool broken = failing.fd_count != 0;
    ready.readable = wants(interest, Interest::read) && (broken || reading.fd_count != 0);
    ready.writable = wants(interest, Interest::write) && (broken || writing.fd_count != 0);
    return 0;
}

#else

int wait_for_socket(Descriptor socket, Interest interest, int milliseconds, Readiness& ready) noexcept {
    const bool read = wants(interest, Interest::read), write = wants(interest, Interest::write);
    pollfd polled{};
    polled.fd = socket;
    polled.events = static_cast<short>((read ? POLLIN : 0) | (write ? POLLOUT : 0));
    ready = Readiness();
    if (poll(&polled, 1, milliseconds) < 0) return errno;
    if ((polled.revents & POLLNVAL) != 0) return EBADF;
    const bool broken = (polled.revents & (POLLERR | POLLHUP)) != 0;
    ready.readable = read && (broken || (polled.revents & POLLIN) != 0);
    ready.writable = write && (broken || (polled.revents & POLLOUT) != 0);
    return 0;
}

#endif

}  // namespace laplace
