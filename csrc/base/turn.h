// Whose turn it is to touch what the loop works with: the loop's while it is awake, and anybody's who
// comes first while it sleeps.
#ifndef LAPLACE_TURN_H
#define LAPLACE_TURN_H

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace laplace {

class Turn {
public:
    // The loop's side: around its sleep.
    void lend() noexcept { state_.store(State::lent, std::memory_order_release); }
    void take_back() noexcept {
        if (!move(State::lent, State::loops)) wait_for_borrower();
    }

    // Another thread's: false where the loop is awake, or somebody else was quicker. It must not wait for
    // anything before it gives it back.
    bool try_borrow() noexcept { return move(State::lent, State::borrowed); }
    void give_back() noexcept {
        if (move(State::borrowed, State::lent)) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        state_.store(State::loops, std::memory_order_release);
        given_back_.notify_one();
    }

private:
    enum class State { loops, lent, borrowed, wanted };
    static constexpr int most_looks = 200;  // a microsecond or so, before the loop sleeps on it

    bool move(State from, State to) noexcept {
        return state_.load(std::memory_order_relaxed) == from &&
               state_.compare_exchange_strong(from, to, std::memory_order_acq_rel, std::memory_order_relaxed);
    }
    void wait_for_borrower() noexcept {
        for (int i = 0; i < most_looks; ++i) {
            if (move(State::lent, State::loops)) return;
        }
        std::unique_lock<std::mutex> lock(mutex_);
        while (!move(State::borrowed, State::wanted)) {
            if (move(State::lent, State::loops)) return;
        }
        given_back_.wait(lock, [this] { return state_.load(std::memory_order_acquire) == State::loops; });
    }

    std::atomic<State> state_{State::loops};
    std::mutex mutex_;
    std::condition_variable given_back_;
};

}  // namespace laplace

#endif
