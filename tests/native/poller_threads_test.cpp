// Tests of a poller beside other threads, which end its wait or change what it waits for: the same for each
// kind that the system has. Returns 1 if any failed.

#include "base/turn.h"
#include "tcp/network.h"
#include "support/checks.h"
#include "support/poller_bench.h"

#include <atomic>
#include <thread>
#include <vector>

namespace {

using laplace::Interest;
using laplace::PollEvent;
using laplace::Poller;
using laplace::Turn;
using poller_bench::Bell;
using poller_bench::Kind;
using poller_bench::quiet;
using poller_bench::wait_one;

// Each thread waits for the other's ring: a lost one would be for ever.
void threads_wake_one_another(Kind kind) {
    constexpr int times = 2000;
    Bell ping(0), pong(1);
    std::thread other([&] {
        Poller poller(kind);
        CHECK(poller.open() == 0 && poller.add(ping.watch, Interest::read) == 0);
        for (int i = 0; i < times; ++i) {
            CHECK(wait_one(poller, -1).what == &ping);
            ping.wake.clear();
            pong.wake.ring();
        }
        CHECK(poller.remove(ping.watch) == 0);
    });
    Poller poller(kind);
    CHECK(poller.open() == 0 && poller.add(pong.watch, Interest::read) == 0);
    for (int i = 0; i < times; ++i) {
        ping.wake.ring();
        CHECK(wait_one(poller, -1).what == &pong);
        pong.wake.clear();
    }
    other.join();
    CHECK(poller.remove(pong.watch) == 0);
}

void no_ring_of_many_threads_is_lost(Kind kind) {
    constexpr int threads = 4, times = 5000;
    Bell bell(0);
    std::atomic<int> done{0};
    std::vector<std::thread> ringers;
    for (int i = 0; i < threads; ++i) {
        ringers.emplace_back([&] {
            for (int k = 0; k < times; ++k) {
                ++done;
                bell.wake.ring();
            }
        });
    }
    Poller poller(kind);
    CHECK(poller.open() == 0 && poller.add(bell.watch, Interest::read) == 0);
    for (int seen = 0; seen < threads * times;) {
        CHECK(wait_one(poller, -1).what == &bell);
        bell.wake.clear();
        seen = done.load();
    }
    for (std::thread& each : ringers) each.join();
    CHECK(done.load() == threads * times);
    CHECK(poller.remove(bell.watch) == 0);
}

// As the loop does: it lends its turn while it waits, and another thread changes an interest then.
// ThreadSanitizer sees that nothing else has to guard what they share.
void an_interest_changes_while_it_waits(Kind kind) {
    constexpr int times = 3001;
    Bell bell(0), changed(1);
    Poller poller(kind);
    CHECK(poller.open() == 0 && poller.add(bell.watch, Interest::read) == 0);
    CHECK(poller.add(changed.watch, Interest::none) == 0);
    changed.wake.ring();
    Turn turn;
    std::atomic<int> changes{0};
    std::thread other([&] {
        while (changes.load() < times) {
            if (!turn.try_borrow()) {
                std::this_thread::yield();
                continue;
            }
            const int made = changes.fetch_add(1);
            CHECK(poller.change(changed.watch, made % 2 == 0 ? Interest::read : Interest::none) == 0);
            turn.give_back();
            bell.wake.ring();
        }
    });
    while (changes.load() < times) {
        poller.prepare();
        turn.lend();
        CHECK(poller.wait_prepared(-1) == 0);
        turn.take_back();
        PollEvent event;
        while (poller.next(event)) {
            if (event.what == &bell) bell.wake.clear();
        }
    }
    other.join();
    bell.wake.clear();
    CHECK(wait_one(poller, -1).what == &changed);
    CHECK(poller.change(changed.watch, Interest::none) == 0);
    CHECK(quiet(poller));
    CHECK(poller.remove(changed.watch) == 0 && poller.remove(bell.watch) == 0);
}

void everything(Kind kind) {
    threads_wake_one_another(kind);
    no_ring_of_many_threads_is_lost(kind);
    an_interest_changes_while_it_waits(kind);
}

}  // namespace

int main() {
    laplace::Network network;
    CHECK(network.open() == 0);
    everything(Kind::best);
    everything(Kind::poll);
    return checks::status();
}
