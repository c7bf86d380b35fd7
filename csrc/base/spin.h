// When to ask the socket again instead of sleeping. A sleeping thread on a sleeping
// core takes tens of microseconds to wake, as long as the rest of an answer.
#ifndef LAPLACE_SPIN_H
#define LAPLACE_SPIN_H

#include <cstdint>

namespace laplace {

// Asks again for up to `longest` ns, but only after a wait that was no longer, so a
// server that is read now and then sleeps at once. Between two questions the caller
// yields; where that takes long, somebody else needs the core, and it is left alone.
class Spin {
public:
    static constexpr uint64_t crowded_ns = 100000;
    static constexpr uint64_t retreat_ns = 20000000;

    explicit Spin(uint64_t longest, uint64_t crowded = crowded_ns) noexcept : longest_(longest), crowded_(crowded) {}

    // Whether to ask for the first time without sleeping.
    bool brisk() const noexcept { return brisk_; }

    // A wait begins, or goes on, asleep.
    void sleep(uint64_t now) noexcept {
        if (!waiting_) began_ = now;
        waiting_ = true;
        spinning_ = false;
    }

    // Nothing is there: true, ask again without sleeping; false, sleep.
    bool again(uint64_t now) noexcept {
        look_for_a_crowd(now);
        sleep(now);
        asked_ = now;
        spinning_ = brisk_ && now >= retreat_until_ && now - began_ < longest_;
        return spinning_;
    }

    // The loop was woken, or a word that asks for nothing: no sign of how often clients ask.
    void interrupted() noexcept { spinning_ = false; }

    // A reply has left that had to wait: the next request can be expected from now on.
    void answered() noexcept { waiting_ = false; }

    // A request came.
    void over(uint64_t now) noexcept {
        look_for_a_crowd(now);
        brisk_ = longest_ > 0 && now >= retreat_until_ && (!waiting_ || now - began_ < longest_);
        waiting_ = spinning_ = false;
    }

private:
    void look_for_a_crowd(uint64_t now) noexcept {
        if (spinning_ && now - asked_ > crowded_) retreat_until_ = now + retreat_ns;
    }

    uint64_t longest_, crowded_;
    uint64_t began_ = 0, asked_ = 0, retreat_until_ = 0;
    bool waiting_ = false, spinning_ = false, brisk_ = false;
};

}  // namespace laplace

#endif
