// An input as a row of steps: bytes that are taken one by one.
#ifndef LAPLACE_TESTS_FUZZ_STEPS_H
#define LAPLACE_TESTS_FUZZ_STEPS_H

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>

namespace fuzz_steps {

class Steps {
public:
    Steps(const char* data, size_t size) : left_(data, size) {}

    bool empty() const { return left_.empty(); }
    // 0 behind the end.
    unsigned byte() {
        if (left_.empty()) return 0;
        const auto value = static_cast<unsigned char>(left_.front());
        left_.remove_prefix(1);
        return value;
    }
    unsigned two_bytes() {
        const unsigned high = byte();
        return high << 8 | byte();
    }
    bool bit() { return byte() % 2 == 1; }
    // As many as there are, up to `size`.
    std::string_view bytes(size_t size) {
        const std::string_view taken = left_.substr(0, size);
        left_.remove_prefix(taken.size());
        return taken;
    }

private:
    std::string_view left_;
};

// Of numbers below 256.
inline std::string steps(std::initializer_list<int> all) { return std::string(all.begin(), all.end()); }

}  // namespace fuzz_steps

#endif
