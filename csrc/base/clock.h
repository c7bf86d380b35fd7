// The clocks of the core: one that only goes forward, for waiting, and one that tells the date.
#ifndef LAPLACE_CLOCK_H
#define LAPLACE_CLOCK_H

#include <chrono>
#include <cstdint>

namespace laplace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t ns_per_us = 1000;
constexpr uint64_t ns_per_ms = 1000 * ns_per_us;

inline uint64_t now_ns() noexcept {
    const auto since = Clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

inline uint64_t ns_of_ms(int milliseconds) noexcept { return static_cast<uint64_t>(milliseconds) * ns_per_ms; }

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

}  // namespace laplace

#endif
