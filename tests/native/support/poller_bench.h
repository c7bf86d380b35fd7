// What the tests of the poller have it watch, and how they ask it.
#ifndef LAPLACE_TESTS_POLLER_BENCH_H
#define LAPLACE_TESTS_POLLER_BENCH_H

#include <cstddef>

#include "support/checks.h"
#include "support/tcp_peer.h"
#include "tcp/poller.h"
#include "tcp/wake_descriptor.h"

namespace poller_bench {

using laplace::PollEvent;
using laplace::Poller;

using Kind = Poller::Kind;

inline constexpr PollEvent nothing{nullptr, false, false, false};

// Of the one descriptor that is watched; nothing where nothing happened.
inline PollEvent wait_one(Poller& poller, int milliseconds) {
    PollEvent event = nothing, another;
    CHECK(poller.wait(milliseconds) == 0);
    if (poller.next(event)) CHECK(!poller.next(another));
    return event;
}

inline bool quiet(Poller& poller) {
    const PollEvent event = wait_one(poller, 0);
    return event.what == nullptr;
}

// A descriptor that can be read when it was rung.
struct Bell {
    explicit Bell(size_t its_number) : number(its_number) {
        tcp_peer::must(wake.open() == 0);
        watch.descriptor = wake.descriptor();
        watch.what = this;
    }

    const size_t number;
    laplace::WakeDescriptor wake;
    laplace::Watch watch;
    bool rung = false;
};

inline Bell& bell_of(const PollEvent& event) { return *static_cast<Bell*>(event.what); }

}  // namespace poller_bench

#endif
