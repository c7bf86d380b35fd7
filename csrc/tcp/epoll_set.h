// A Poller's descriptors by Linux' epoll.
#ifndef LAPLACE_EPOLL_SET_H
#define LAPLACE_EPOLL_SET_H

#include <cstddef>
#include <memory>

#include "tcp/watch.h"

struct epoll_event;

namespace laplace {

class EpollSet {
public:
    static constexpr int most_events = 256;  // of one wait; of more, the others come first in the next

    EpollSet() noexcept;
    ~EpollSet();
    EpollSet(const EpollSet&) = delete;
    EpollSet& operator=(const EpollSet&) = delete;

    int open() noexcept;
    void close() noexcept;
    int add(Watch& watch, Interest interest) noexcept;
    int change(Watch& watch, Interest interest) noexcept;
    int remove(Watch& watch) noexcept;
    void prepare() noexcept { told_ = count_ = 0; }
    int wait_prepared(int milliseconds) noexcept;
    bool next(PollEvent& event) noexcept;

private:
    int epoll_ = -1;
    std::unique_ptr<epoll_event[]> events_;
    size_t count_ = 0, told_ = 0;  // of events_
};

}  // namespace laplace

#endif
