// How much may wait: requests for an answer (pending), and answers for slow readers (parked).
#ifndef LAPLACE_BUDGETS_H
#define LAPLACE_BUDGETS_H

#include <array>
#include <cstddef>

#include "base/counters.h"
#include "transport/connection.h"

namespace laplace {

struct Limits {
    size_t pending = 4096;
    size_t pending_bytes = size_t{256} << 20;
    size_t peer_pending = 1024;
    size_t peer_pending_bytes = size_t{64} << 20;
    size_t peer_parked_bytes = size_t{16} << 20;
};

class Budgets {
public:
    Budgets(const Limits& limits, Counters& counters) noexcept : limits_(limits), counters_(counters) {}

    // Whether one more request of so many bytes is too much. What waits for the program's callbacks, and
    // what waits for other reasons: neither keeps out the other.
    bool over(const Holdings& holdings, bool for_callbacks, size_t weight) const noexcept {
        const Budget& budget = budgets_[for_callbacks];
        if (budget.count == 0) return false;  // whatever its size, one request always fits
        if (budget.count >= limits_.pending || budget.bytes + weight > limits_.pending_bytes) return true;
        if (holdings.pending == 0) return false;
        return holdings.pending >= limits_.peer_pending ||
               holdings.pending_bytes + weight > limits_.peer_pending_bytes;
    }
    void charge(Holdings& holdings, bool for_callbacks, size_t weight) noexcept {
        ++holdings.pending;
        holdings.pending_bytes += weight;
        Budget& budget = budgets_[for_callbacks];
        ++budget.count;
        budget.bytes += weight;
        tell();
    }
    // Its connection is not held to it any more.
    static void leave(Holdings& holdings, size_t weight) noexcept {
        --holdings.pending;
        holdings.pending_bytes -= weight;
    }
    // Nothing waits any more.
    void release(bool for_callbacks, size_t weight) noexcept {
        Budget& budget = budgets_[for_callbacks];
        --budget.count;
        budget.bytes -= weight;
        tell();
    }

    // Whether there is room for an answer beside those of its connection that wait already. "Busy" behind an
    // answer that is not there yet may have half of it, so that those of what is carried out find room.
    bool has_room(const Connection& connection, size_t size, bool busy_behind) const noexcept {
        const size_t parked = connection.holdings.parked_bytes;
        const size_t limit = busy_behind ? limits_.peer_parked_bytes / 2 : limits_.peer_parked_bytes;
        return parked == 0 || parked + connection.waiting() + size <= limit;
    }
    void park(Holdings& holdings, size_t size) noexcept {
        holdings.parked_bytes += size;
        counters_.parked_bytes.fetch_add(size, std::memory_order_relaxed);
    }
    void unpark(Holdings& holdings, size_t size) noexcept {
        holdings.parked_bytes -= size;
        counters_.parked_bytes.fetch_sub(size, std::memory_order_relaxed);
    }

private:
    struct Budget {
        size_t count = 0, bytes = 0;
    };
    void tell() noexcept {
        const size_t pending = budgets_[0].count + budgets_[1].count;
        counters_.pending.store(pending, std::memory_order_relaxed);
        counters_.pending_bytes.store(budgets_[0].bytes + budgets_[1].bytes, std::memory_order_relaxed);
        raise_to(counters_.pending_high_water, pending);
    }

    const Limits limits_;
    Counters& counters_;
    std::array<Budget, 2> budgets_;  // for other reasons, for callbacks
};

}  // namespace laplace

#endif
