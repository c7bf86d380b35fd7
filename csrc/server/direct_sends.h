// How often publishing threads send by themselves. One update now and then is sooner there so; of many in
// a row the loop sends dozens at once, for less.
#ifndef LAPLACE_DIRECT_SENDS_H
#define LAPLACE_DIRECT_SENDS_H

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace laplace {

class DirectSends {
public:
    static constexpr uint64_t most_at_once = 16;
    static constexpr uint64_t each_ns = 50000;  // one more
    static constexpr size_t most_bytes = 16 * 1024;  // of an update

    // Whether one more is due now.
    bool take(uint64_t now) noexcept {
        // As a time: how long the bucket has been filling since it would have been empty.
        empty_at_ = std::max(empty_at_, now - std::min(now, most_at_once * each_ns));
        if (now - empty_at_ < each_ns) return false;
        empty_at_ += each_ns;
        return true;
    }

private:
    uint64_t empty_at_ = 0;  // ns
};

}  // namespace laplace

#endif
