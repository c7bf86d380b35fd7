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
    void record(uint64_t ns, uint64_t count = 1) noexcept { tally(buckets[bucket_of(ns)], count); }
};

// Why an answer is an error, or why there is none.
enum class ErrorKind : unsigned {
    none,
    malformed,        // not a request: bad JSON, missing fields, several frames
    version,          // protocol version not accepted
    unknown_command,
    payload,          // payload without the keys the command needs
    handler,          // a handler raised or its reply could not be encoded
    not_permitted,
    data,             // live data became something JSON cannot say
    busy,             // queue full
    stopping,
    no_delimiter,     // message without an empty frame: dropped
    unroutable,       // peer gone: reply dropped
    reply_overflow,   // no room for a reply that has to wait: dropped
    no_memory,
    log_dropped,      // debug record dropped
    subscriptions     // as many as there may be, of the server or of a connection
};
constexpr size_t error_kind_count = static_cast<size_t>(ErrorKind::subscriptions) + 1;

// Why a connection was refused or closed.
enum class Refusal : unsigned {
    not_zmtp,           // its first bytes are no greeting
    zmtp_version,       // a greeting of ZMTP 1 or 2
    mechanism,          // another security mechanism than the server's
    socket_type,        // not one that talks to a ROUTER
    malformed,          // a handshake, a command or a frame against the rules
    handshake_timeout,
    message_size,       // more than max_message_bytes in all its frames
    message_frames,
    connections,        // as many as the server takes are there
    address,            // as many as one address may have are there
    displaced,          // had never asked anything, and made room for another
    heartbeat,          // the time to live that it gave itself has passed
    no_memory,
    route_size,         // more in front of a message than goes back with each answer
    anonymous,          // has no key, and needs one
    withdrawn,          // what its role may do, or its key, was taken away
    unknown_key,        // is not one of those that the server serves
    wrong_server_key,   // takes this server for another one, or for what it was before it had a new key
    not_authentic       // what it sends is not made by who it says that it is, or has been changed or repeated
};
constexpr size_t refusal_count = static_cast<size_t>(Refusal::not_authentic) + 1;

struct Counters {
    static constexpr unsigned max_commands = 256;  // index 0: what is no command
    struct PerCommand {
        Counter native{0}, python{0};
    };
    std::array<PerCommand, max_commands> commands{};
    std::array<Counter, error_kind_count> errors{};
    Counter& of(ErrorKind kind) noexcept { return errors[static_cast<size_t>(kind)]; }
    const Counter& of(ErrorKind kind) const noexcept { return errors[static_cast<size_t>(kind)]; }
    Counter bytes_in{0}, bytes_out{0};
    Counter pending{0}, pending_bytes{0}, pending_high_water{0};
    Counter parked_bytes{0};
    Counter waiting_bytes{0};  // on their way to connections that take no more for now
    Counter stale_gets{0};
    Counter refreshes{0};
    Counter connections{0}, connections_total{0};
    std::array<Counter, refusal_count> refused{};
    Counter& of(Refusal reason) noexcept { return refused[static_cast<size_t>(reason)]; }
    const Counter& of(Refusal reason) const noexcept { return refused[static_cast<size_t>(reason)]; }
    LatencyHistogram native_latency, python_latency;
};

}  // namespace laplace

#endif
