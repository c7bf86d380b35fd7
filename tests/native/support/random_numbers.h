// splitmix64: the same numbers for a seed on every machine.
#ifndef LAPLACE_TESTS_RANDOM_NUMBERS_H
#define LAPLACE_TESTS_RANDOM_NUMBERS_H

#include <cstddef>
#include <cstdint>

class RandomNumbers {
public:
    explicit RandomNumbers(uint64_t seed) : state_(seed) {}

    // From 0 to `limit` - 1.
    size_t below(size_t limit) {
        state_ += 0x9E3779B97F4A7C15u;
        uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
        return static_cast<size_t>((mixed ^ (mixed >> 31)) % limit);
    }
    bool one_in(size_t count) { return below(count) == 0; }

private:
    uint64_t state_;
};

#endif
