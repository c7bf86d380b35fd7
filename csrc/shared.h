// What the loop and the Python side share. Every member says who may touch it.
#ifndef LAPLACE_SHARED_H
#define LAPLACE_SHARED_H

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "counters.h"
#include "dispatch.h"
#include "documents.h"
#include "handover.h"
#include "subscribers.h"

namespace laplace {

// Bounds on what waits for Python (pending) and for slow readers (parked).
struct Limits {
    size_t pending = 4096;
    size_t pending_bytes = size_t{256} << 20;
    size_t peer_pending = 1024;
    size_t peer_pending_bytes = size_t{64} << 20;
    size_t peer_parked_bytes = size_t{16} << 20;
};

struct Config {
    std::string address;
    uint64_t epoch = 0;  // of its streams: no two servers have the same
    int64_t max_message_bytes = -1;
    int refresh_timeout_ms = 100;
    int spin_us = 200;  // how long the loop waits for the next message without sleeping
    bool real_time = false;  // the threads that serve; may_be_real_time() has said yes
    int callback_grace_ms = 1200;  // how long stop waits for a running callback
    int flush_ms = 500;            // how long replies have to leave after that
    Limits limits;
};

using Clock = std::chrono::steady_clock;

inline uint64_t now_ns() noexcept {
    const auto since = Clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

inline Clock::time_point deadline_after(double seconds) noexcept {
    constexpr double longest = 1e8;  // three years
    const double wait = seconds < longest ? seconds : longest;
    return Clock::now() + std::chrono::nanoseconds(static_cast<int64_t>(wait * 1e9));
}

// Seconds since 1970.
inline double wall_clock_s() noexcept {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration<double>(since).count();
}

struct Shared {
    explicit Shared(Config given) : config(std::move(given)), documents(std::make_shared<const std::string>("{}")) {}

    const Config config;
    Documents documents;  // locks itself
    Inbox inbox;          // locks itself
    Outbox outbox;        // locks itself
    Counters counters;    // atomics
    Streams streams;      // locks itself

    std::atomic<bool> take_after_get{false};
    std::atomic<bool> log_answers{false};
    std::atomic<bool> stop_requested{false};

    // The loop keeps its own reference and fetches a new one when the epoch moves.
    void set_table(std::shared_ptr<const DispatchTable> table) noexcept {
        const std::lock_guard<std::mutex> lock(table_mutex_);
        table_.swap(table);
        table_epoch.fetch_add(1, std::memory_order_release);
    }
    std::shared_ptr<const DispatchTable> table() noexcept {
        const std::lock_guard<std::mutex> lock(table_mutex_);
        return table_;
    }
    std::atomic<uint64_t> table_epoch{0};

    // Makes the loop look at its mail: from any thread, coalesced. A message is needed
    // only where it sleeps; awake, it looks before it falls asleep.
    void wake() noexcept {
        if (mail_.load() || mail_.exchange(true) || !asleep_.exchange(false)) return;
        const std::lock_guard<std::mutex> lock(wake_mutex_);
        if (wake_socket_ == nullptr) return;
        // A full pipe is as good: the loop has wake-ups to read then.
        while (zmq.send(wake_socket_, "", 0, ZMQ_DONTWAIT) < 0 && zmq.errno_() == EINTR) {
        }
    }
    // The loop's side.
    bool has_mail() const noexcept { return mail_.load(); }
    bool take_mail() noexcept { return mail_.load() && mail_.exchange(false); }
    // False: there is mail, so it must not sleep.
    bool fall_asleep() noexcept {
        asleep_.store(true);
        if (!mail_.load()) return true;
        asleep_.store(false);
        return false;
    }
    void awake() noexcept { asleep_.store(false, std::memory_order_relaxed); }
    // The sender's end of the loop's wake-up; null when the loop has ended.
    void set_wake_socket(void* socket) noexcept {
        const std::lock_guard<std::mutex> lock(wake_mutex_);
        wake_socket_ = socket;
    }

private:
    std::mutex table_mutex_;
    std::shared_ptr<const DispatchTable> table_ = std::make_shared<const DispatchTable>();
    std::atomic<bool> mail_{false}, asleep_{false};
    std::mutex wake_mutex_;
    void* wake_socket_ = nullptr;
};

}  // namespace laplace

#endif
