// How other threads end the loop's sleep, or work in its place meanwhile. Coalesced, and rung only where
// the loop sleeps; awake, it looks before it falls asleep.
#ifndef LAPLACE_WAKE_UP_H
#define LAPLACE_WAKE_UP_H

#include <atomic>
#include <mutex>

#include "base/turn.h"

namespace laplace {

// What the loop's wait ends by.
class Alarm {
public:
    virtual void ring() noexcept = 0;

protected:
    ~Alarm() = default;
};

class WakeUp {
public:
    // From any thread, after what the loop is to find.
    void wake() noexcept {
        if (wanted_.load() || wanted_.exchange(true) || !asleep_.exchange(false)) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        if (alarm_ != nullptr) alarm_->ring();
    }
    // Null when nobody sleeps any more.
    void set_alarm(Alarm* alarm) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        alarm_ = alarm;
    }

    // The loop's side.
    bool wanted() const noexcept { return wanted_.load(); }
    // Whether somebody wanted it; once for each time.
    bool take() noexcept { return wanted_.load() && wanted_.exchange(false); }
    // False: somebody wants it awake, so it must not sleep.
    bool fall_asleep() noexcept {
        asleep_.store(true);
        if (!wanted_.load()) return true;
        asleep_.store(false);
        return false;
    }
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }

    Turn turn;  // a router that cannot be used by another thread while it waits does not lend it

private:
    std::atomic<bool> wanted_{false}, asleep_{false};
    std::mutex mutex_;
    Alarm* alarm_ = nullptr;
};

}  // namespace laplace

#endif
