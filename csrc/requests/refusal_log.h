// Which of the connections that were refused or closed the log is told of: of each reason the first at
// once, then one an interval at most, with how many there were beside it. The clock is the caller's.
#ifndef LAPLACE_REFUSAL_LOG_H
#define LAPLACE_REFUSAL_LOG_H

#include <array>
#include <cstdint>
#include <new>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/counters.h"
#include "requests/job_queue.h"

namespace laplace {

class RefusalLog {
public:
    explicit RefusalLog(uint64_t interval_ns) noexcept : interval_ns_(interval_ns) {}

    // The record goes to `queue`, where one is due. Where that is full, or there is no memory, the next one
    // of this reason is due, and counts this one.
    void note(uint64_t now, Refusal reason, std::string_view address, std::string_view key,
              JobQueue& queue) noexcept {
        Line& line = lines_[static_cast<size_t>(reason)];
        if (now < line.next) {
            ++line.untold;
            return;
        }
        try {
            if (queue.push_refusal({reason, std::string(address), line.untold, std::string(key)})) {
                line = {now + interval_ns_, 0};
                return;
            }
        } catch (const std::bad_alloc&) {
        }
        ++line.untold;
    }

private:
    struct Line {
        uint64_t next = 0;    // when the next may be told; 0: at once
        uint64_t untold = 0;  // since the last that was told
    };
    const uint64_t interval_ns_;
    std::array<Line, refusal_count> lines_;
};

}  // namespace laplace

#endif
