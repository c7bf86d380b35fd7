// Who may connect. Any thread says so, for handshakes from then on; who asks keeps what there was, and looks
// again when the epoch has moved.
#ifndef LAPLACE_ADMISSION_H
#define LAPLACE_ADMISSION_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace laplace {

class ServerKeys;

class Admission {
public:
    struct Terms {
        std::shared_ptr<const ServerKeys> keys;  // null: nobody has one, and all is said in the clear
        bool anonymous = true;                   // whether who has no key may connect
    };

    explicit Admission(bool anonymous) noexcept { terms_.anonymous = anonymous; }
    Admission(const Admission&) = delete;
    Admission& operator=(const Admission&) = delete;

    void set(Terms terms) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::swap(terms_, terms);
        epoch_.fetch_add(1, std::memory_order_release);
    }
    Terms get() const noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return terms_;
    }
    uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

private:
    mutable std::mutex mutex_;
    Terms terms_;
    std::atomic<uint64_t> epoch_{0};
};

}  // namespace laplace

#endif
