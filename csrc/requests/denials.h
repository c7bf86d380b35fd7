// Requests that the role of who asks does not permit: counted by role and command, and told to the log, of
// each peer the first at once, then one an interval at most, with how many there were beside it. A peer is
// an address without its port here, so that connecting again tells nothing more. The clock is the caller's.
#ifndef LAPLACE_DENIALS_H
#define LAPLACE_DENIALS_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/roles.h"
#include "requests/job_queue.h"
#include "transport/connection.h"

namespace laplace {

class Denials {
public:
    struct Count {
        Role role;
        unsigned command;
        uint64_t count;
    };
    static constexpr size_t most_peers = 1024;  // further ones share a line

    explicit Denials(uint64_t interval_ns) noexcept : interval_ns_(interval_ns) {}

    // By whoever has the turn. Where the queue is full, or there is no memory, the peer's next one is due,
    // and counts this one.
    void note(uint64_t now, const Connection& from, unsigned command, JobQueue& log) noexcept {
        try {
            count(from.role(), command);
            tell(now, from, command, log);
        } catch (const std::bad_alloc&) {
            ++others_.untold;
        }
    }

    // By any thread. Throws std::bad_alloc.
    std::vector<Count> counts() const {
        std::vector<Count> found;
        const std::lock_guard<std::mutex> lock(mutex_);
        found.reserve(counts_.size());
        for (const auto& each : counts_) found.push_back({each.first.first, each.first.second, each.second});
        return found;
    }

private:
    struct Line {
        uint64_t next = 0;    // when the next may be told; 0: at once
        uint64_t untold = 0;  // since the last that was told
    };

    void count(Role role, unsigned command) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++counts_[{role, command}];
    }
    void tell(uint64_t now, const Connection& from, unsigned command, JobQueue& log) {
        std::string address = from.peer_address();
        Line& line = line_of(address.substr(0, address.rfind(':')), now);
        if (now >= line.next && push({from.role(), command, std::move(address), line.untold, from.key()}, log)) {
            line = {now + interval_ns_, 0};
        } else {
            ++line.untold;
        }
    }
    static bool push(Denied&& record, JobQueue& log) noexcept {
        try {
            return log.push_denial(std::move(record));
        } catch (const std::bad_alloc&) {
            return false;
        }
    }
    Line& line_of(const std::string& peer, uint64_t now) {
        const auto found = lines_.find(peer);
        if (found != lines_.end()) return found->second;
        if (lines_.size() >= most_peers) forget_quiet(now);
        return lines_.size() < most_peers ? lines_[peer] : others_;
    }
    // Those of whom the next would be told at once; all are looked through, and so not each time.
    void forget_quiet(uint64_t now) noexcept {
        if (now < look_at_) return;
        look_at_ = now + interval_ns_ / 60;
        for (auto each = lines_.begin(); each != lines_.end();) {
            if (now < each->second.next) {
                ++each;
                continue;
            }
            others_.untold += each->second.untold;
            each = lines_.erase(each);
        }
    }

    const uint64_t interval_ns_;
    mutable std::mutex mutex_;  // of the counts
    std::map<std::pair<Role, unsigned>, uint64_t> counts_;
    std::unordered_map<std::string, Line> lines_;
    Line others_;
    uint64_t look_at_ = 0;
};

}  // namespace laplace

#endif
