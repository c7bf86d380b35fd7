// Memory that is out when the test wants it to be, in the test's thread: for messages (memory_zmq.h)
// and, in programs with failing_memory.cpp, for operator new.
#ifndef LAPLACE_TESTS_FAILING_MEMORY_H
#define LAPLACE_TESTS_FAILING_MEMORY_H

#include <cstdint>

namespace failing_memory {

inline thread_local uint64_t fails_at = 0;  // the allocation that fails, from 1; 0: none
inline thread_local uint64_t asked = 0;

// Whether the allocation that begins here fails.
inline bool fails() noexcept { return fails_at != 0 && ++asked == fails_at; }

// While one lives, the allocation of this number fails, and no other.
class At {
public:
    explicit At(uint64_t number) {
        asked = 0;
        fails_at = number;
    }
    ~At() { fails_at = 0; }
    At(const At&) = delete;
    At& operator=(const At&) = delete;

    // Whether there were as many.
    bool reached() const { return asked >= fails_at; }
};

// While one lives, the test's own allocations succeed and are not counted.
class Paused {
public:
    Paused() : before_(fails_at) { fails_at = 0; }
    ~Paused() { fails_at = before_; }
    Paused(const Paused&) = delete;
    Paused& operator=(const Paused&) = delete;

private:
    const uint64_t before_;
};

}  // namespace failing_memory

#endif
