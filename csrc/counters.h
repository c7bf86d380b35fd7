// What a server counts. Written by the loop (few by others), read by anyone at any
// time: relaxed atomics, so reading never stalls the loop.
#ifndef LAPLACE_COUNTERS_H
#define LAPLACE_COUNTERS_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace laplace {

using Counter = std::atomic<uint64_t>;

inline void add(Counter& counter, uint64_t amount = 1) noexcept {
    counter.fetch_add(amount, std::memory_order_relaxed);
}

// By the only thread that writes the counter: no bus lock.
inline void tally(Counter& counter, uint64_t amount = 1) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

inline void raise_to(Counter& mark, uint64_t value) noexcept {
    uint64_t seen = mark.load(std::memory_order_relaxed);
    while (seen < value && !mark.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
}

// Counts of durations in buckets four to an octave: bucket 4k + j holds
// (4 + j) * 2^k <= ns < (5 + j) * 2^k, so a quantile is known to within 25 %.
struct LatencyHistogram {
    static constexpr size_t bucket_count = 4 * 36;
    std::array<Counter, bucket_count> buckets{};

    static size_t bucket_of(uint64_t ns) noexcept {
        if (ns < 4) return 0;
        unsigned octave = 0;
        while ((ns >> octave) >= 8) ++octave;
        const size_t bucket = 4 * static_cast<size_t>(octave) + static_cast<size_t>((ns >> octave) - 4);
        return bucket < bucket_count ? bucket : bucket_count - 1;
    }
    void record(uint64_t ns) noexcept { tally(buckets[bucket_of(ns)]); }
};

enum error_kind {
    ERROR_NONE,
    ERROR_MALFORMED,        // not a request: bad JSON, missing fields, several frames
    ERROR_VERSION,          // protocol version not accepted
    ERROR_UNKNOWN_COMMAND,
    ERROR_PAYLOAD,          // payload without the keys the command needs
    ERROR_HANDLER,          // a handler raised or its reply could not be encoded
    ERROR_NOT_PERMITTED,
    ERROR_DATA,             // live data became something JSON cannot say
    ERROR_BUSY,             // queue full
    ERROR_STOPPING,
    ERROR_NO_DELIMITER,     // message without an empty frame: dropped
    ERROR_UNROUTABLE,       // peer gone: reply dropped
    ERROR_REPLY_OVERFLOW,   // peer does not read: reply dropped
    ERROR_NO_MEMORY,
    ERROR_LOG_DROPPED,      // debug record dropped
    ERROR_KINDS
};

struct Counters {
    static constexpr unsigned max_commands = 256;  // index 0: what is no command
    struct PerCommand {
        Counter native{0}, python{0};
    };
    std::array<PerCommand, max_commands> commands{};
    std::array<Counter, ERROR_KINDS> errors{};
    Counter bytes_in{0}, bytes_out{0};
    Counter pending{0}, pending_bytes{0}, pending_high_water{0};
    Counter parked_bytes{0};
    Counter stale_gets{0};
    Counter refreshes{0};
    Counter connections{0}, connections_total{0};
    LatencyHistogram native_latency, python_latency;
};

}  // namespace laplace

#endif
