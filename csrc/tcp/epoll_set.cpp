#ifdef __linux__

#include "tcp/epoll_set.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <new>

namespace laplace {

namespace {

epoll_event wanted(Watch& watch, Interest interest) noexcept {
    epoll_event event{};
    if (wants(interest, Interest::read)) event.events |= EPOLLIN;
    if (wants(interest, Interest::write)) event.events |= EPOLLOUT;
    event.data.ptr = &watch;
    return event;
}

}  // namespace

EpollSet::EpollSet() noexcept = default;

EpollSet::~EpollSet() { close(); }

void EpollSet::close() noexcept {
    if (epoll_ >= 0) ::close(epoll_);
    epoll_ = -1;
    count_ = told_ = 0;
}

int EpollSet::open() noexcept {
    if (epoll_ >= 0) return EEXIST;
    if (events_ == nullptr) events_.reset(new (std::nothrow) epoll_event[most_events]);
    if (events_ == nullptr) return ENOMEM;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    return epoll_ >= 0 ? 0 : errno;
}

int EpollSet::add(Watch& watch, Interest interest) noexcept {
    epoll_event event = wanted(watch, interest);
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, watch.descriptor, &event) != 0) return errno;
    watch.interest = interest;
    watch.watched = true;
    return 0;
}

int EpollSet::change(Watch& watch, Interest interest) noexcept {
    epoll_event event = wanted(watch, interest);
    if (epoll_ctl(epoll_, EPOLL_CTL_MOD, watch.descriptor, &event) != 0) return errno;
    watch.interest = interest;
    return 0;
}

int EpollSet::remove(Watch& watch) noexcept {
    if (!watch.watched) return ENOENT;
    watch.watched = false;
    for (size_t i = told_; i < count_; ++i) {
        if (events_[i].data.ptr == &watch) events_[i].data.ptr = nullptr;
    }
    return epoll_ctl(epoll_, EPOLL_CTL_DEL, watch.descriptor, nullptr) == 0 ? 0 : errno;
}

int EpollSet::wait_prepared(int milliseconds) noexcept {
    const int found = epoll_wait(epoll_, events_.get(), most_events, milliseconds);
    if (found < 0) return errno == EINTR ? 0 : errno;
    count_ = static_cast<size_t>(found);
    return 0;
}

bool EpollSet::next(PollEvent& event) noexcept {
    while (told_ < count_) {
        const epoll_event& found = events_[told_++];
        const auto* const watch = static_cast<const Watch*>(found.data.ptr);
        if (watch == nullptr) continue;  // removed since
        event.what = watch->what;
        event.broken = (found.events & (EPOLLERR | EPOLLHUP)) != 0;
        event.readable =
            (found.events & EPOLLIN) != 0 || (event.broken && wants(watch->interest, Interest::read));
        event.writable = (found.events & EPOLLOUT) != 0;
        return true;
    }
    return false;
}

}  // namespace laplace

#endif
