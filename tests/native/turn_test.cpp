// Tests of whose turn it is, and of how often publishers send by themselves. Returns 1 if any failed.

#include "base/turn.h"
#include "server/direct_sends.h"
#include "support/checks.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

using laplace::DirectSends;
using laplace::Turn;

void is_lent_to_one_at_a_time() {
    Turn turn;
    CHECK(!turn.try_borrow());  // the loop has not begun
    turn.lend();
    CHECK(turn.try_borrow());
    CHECK(!turn.try_borrow());
    turn.give_back();
    CHECK(turn.try_borrow());
    turn.give_back();
    turn.take_back();
    CHECK(!turn.try_borrow());
}

void the_loop_waits_for_who_has_it() {
    Turn turn;
    turn.lend();
    CHECK(turn.try_borrow());
    std::atomic<bool> looks{false}, has_it{false};
    std::thread loop([&] {
        looks.store(true);
        turn.take_back();
        has_it.store(true);
    });
    while (!looks.load()) std::this_thread::yield();
    for (int i = 0; i < 10'000; ++i) {
        CHECK(!has_it.load());
        std::this_thread::yield();
    }
    turn.give_back();
    loop.join();
    CHECK(has_it.load() && !turn.try_borrow());
}

// Under ThreadSanitizer, this also shows that what it guards needs no other guard.
void nobody_works_beside_another() {
    constexpr int turns = 4'000, borrowers = 3;
    Turn turn;
    int64_t guarded = 0;
    int64_t by_loop = 0;
    std::atomic<int64_t> by_others{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < borrowers; ++i) {
        threads.emplace_back([&] {
            while (!over.load()) {
                if (!turn.try_borrow()) {
                    std::this_thread::yield();
                    continue;
                }
                const int64_t before = guarded;
                for (int work = 0; work < 50; ++work) std::atomic_signal_fence(std::memory_order_seq_cst);
                guarded = before + 1;
                turn.give_back();
                by_others.fetch_add(1);
            }
        });
    }
    for (int i = 0; i < turns || by_others.load() < turns; ++i) {
        turn.lend();
        std::this_thread::yield();
        turn.take_back();
        ++guarded;
        ++by_loop;
    }
    over.store(true);
    for (std::thread& thread : threads) thread.join();
    CHECK(guarded == by_loop + by_others.load());
}

void a_burst_and_then_one_now_and_then() {
    constexpr uint64_t step = DirectSends::each_ns;
    DirectSends sends;
    const uint64_t begin = 1'000'000'000;
    uint64_t taken = 0;
    while (sends.take(begin)) ++taken;
    CHECK(taken == DirectSends::most_at_once);
    CHECK(!sends.take(begin + step - 1));
    CHECK(sends.take(begin + step) && !sends.take(begin + step));
    taken = 0;
    for (uint64_t now = begin + step; now < begin + step + 100 * step; now += step / 10) taken += sends.take(now) ? 1 : 0;
    CHECK(taken == 99);
    taken = 0;
    while (sends.take(begin + 10'000 * step)) ++taken;  // however long nothing came
    CHECK(taken == DirectSends::most_at_once);
}

void the_clock_may_begin_at_zero() {
    DirectSends sends;
    CHECK(!sends.take(0));
    CHECK(sends.take(DirectSends::each_ns));
}

}  // namespace

int main() {
    is_lent_to_one_at_a_time();
    the_loop_waits_for_who_has_it();
    nobody_works_beside_another();
    a_burst_and_then_one_now_and_then();
    the_clock_may_begin_at_zero();
    return checks::status();
}
