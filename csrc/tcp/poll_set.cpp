#include "tcp/poll_set.h"

#include <climits>
#include <new>

#include "tcp/system.h"

#ifndef _WIN32
#include <poll.h>
#endif

namespace laplace {

namespace {

// Returns -1 for an error.
int poll_all(pollfd* polled, size_t count, int milliseconds) noexcept {
#ifdef _WIN32
    if (count == 0) {  // WSAPoll refuses to wait for none
        Sleep(milliseconds < 0 ? INFINITE : static_cast<DWORD>(milliseconds));
        return 0;
    }
    return WSAPoll(polled, static_cast<ULONG>(count), milliseconds);
#else
    return poll(polled, static_cast<nfds_t>(count), milliseconds);
#endif
}

short wanted(Interest interest) noexcept {
    const int read = wants(interest, Interest::read) ? POLLIN : 0;
    const int write = wants(interest, Interest::write) ? POLLOUT : 0;
    return static_cast<short>(read | write);
}

}  // namespace

PollSet::PollSet() noexcept = default;
PollSet::~PollSet() = default;

int PollSet::add(Watch& watch, Interest interest) noexcept {
    if (watch.watched) return EEXIST;
    if (watch.descriptor == no_descriptor) return EBADF;
    pollfd entry{};
    entry.fd = watch.descriptor;
    entry.events = wanted(interest);
    try {
        if (wanted_.size() == wanted_.capacity()) wanted_.reserve(2 * wanted_.size() + 1);
        watches_.reserve(wanted_.capacity());
        polled_.reserve(wanted_.capacity());
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    wanted_.push_back(entry);
    watches_.push_back(&watch);
    watch.interest = interest;
    watch.place = watches_.size() - 1;
    watch.watched = true;
    return 0;
}

int PollSet::change(Watch& watch, Interest interest) noexcept {
    if (!watch.watched) return ENOENT;
    wanted_[watch.place].events = wanted(interest);
    watch.interest = interest;
    return 0;
}

int PollSet::remove(Watch& watch) noexcept {
    if (!watch.watched) return ENOENT;
    watch.watched = false;
    // The last one takes its place. If that was told of already, the last one has to wait for the next wait.
    const size_t place = watch.place;
    if (polled_.size() == wanted_.size()) {
        polled_[place] = polled_.back();
        polled_.pop_back();
    } else if (place < polled_.size()) {
        polled_[place].revents = 0;  // the last one came after the last wait
    }
    wanted_[place] = wanted_.back();
    watches_[place] = watches_.back();
    watches_[place]->place = place;
    wanted_.pop_back();
    watches_.pop_back();
    return 0;
}

void PollSet::prepare() noexcept {
    told_ = 0;
    polled_.assign(wanted_.begin(), wanted_.end());  // there is room
}

int PollSet::wait_prepared(int milliseconds) noexcept {
    const int found = poll_all(polled_.data(), polled_.size(), milliseconds);
    if (found > 0) return 0;
    told_ = polled_.size();
    const int error = found < 0 ? last_error() : 0;
    return error == EINTR ? 0 : error;
}

bool PollSet::next(PollEvent& event) noexcept {
    while (told_ < polled_.size()) {
        const size_t place = told_++;
        const int found = polled_[place].revents;
        if (found == 0) continue;
        const Watch& watch = *watches_[place];
        event.what = watch.what;
        event.broken = (found & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        event.readable = (found & POLLIN) != 0 || (event.broken && wants(watch.interest, Interest::read));
        event.writable = (found & POLLOUT) != 0;
        return true;
    }
    return false;
}

}  // namespace laplace
