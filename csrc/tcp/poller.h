// Waits for many sockets at once: by epoll on Linux, by poll elsewhere (WSAPoll on Windows), and on Linux
// too where it is asked for. Level-triggered: what is still so is told again at the next wait. For one
// thread at a time; what another one changes while one waits counts from the next wait at the latest.
#ifndef LAPLACE_POLLER_H
#define LAPLACE_POLLER_H

#include "tcp/poll_set.h"
#include "tcp/watch.h"
#ifdef __linux__
#include "tcp/epoll_set.h"
#endif

namespace laplace {

class Poller {
    // Calls with the set of the kind that was chosen.
    template <typename Use>
    auto with_set(Use use) noexcept {
#ifdef __linux__
        if (by_epoll_) return use(epoll_);
#endif
        return use(poll_);
    }

public:
    enum class Kind { best, poll };

    explicit Poller(Kind kind = Kind::best) noexcept
#ifdef __linux__
        : by_epoll_(kind == Kind::best)
#endif
    {
        (void)kind;
    }
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;

    // Each returns 0 or an errno (EEXIST, ENOENT: of a watch that is there already, or not there).
    int open() noexcept {
        return with_set([](auto& set) noexcept { return set.open(); });
    }
    // When nothing is watched any more.
    void close() noexcept {
        with_set([](auto& set) noexcept { set.close(); });
    }
    // Every watch is removed before its descriptor is closed: a forked child may keep that open, and the
    // system would go on telling of it. A watch stays where it is in memory until then.
    int add(Watch& watch, Interest interest) noexcept {
        return with_set([&](auto& set) noexcept { return set.add(watch, interest); });
    }
    int change(Watch& watch, Interest interest) noexcept {
        if (watch.watched && watch.interest == interest) return 0;
        return with_set([&](auto& set) noexcept { return set.change(watch, interest); });
    }
    // May be called for any of them between next() and next(), which then tells no more of it.
    int remove(Watch& watch) noexcept {
        return with_set([&](auto& set) noexcept { return set.remove(watch); });
    }

    // Until something happens or the time is over (0: not at all, -1: without end). A signal ends it, too.
    // What the last wait found and next() did not yet tell is dropped, and found again.
    int wait(int milliseconds) noexcept {
        prepare();
        return wait_prepared(milliseconds);
    }
    // The same in two steps: between them, and during the second one, another thread may change an interest.
    void prepare() noexcept {
        with_set([](auto& set) noexcept { set.prepare(); });
    }
    int wait_prepared(int milliseconds) noexcept {
        return with_set([&](auto& set) noexcept { return set.wait_prepared(milliseconds); });
    }
    // One descriptor to which something happened; false: no more, as of that wait.
    bool next(PollEvent& event) noexcept {
        return with_set([&](auto& set) noexcept { return set.next(event); });
    }

private:
#ifdef __linux__
    const bool by_epoll_;
    EpollSet epoll_;
#endif
    PollSet poll_;
};

}  // namespace laplace

#endif
