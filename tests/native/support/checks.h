// What every test program here needs: checks that are counted, and told where they fail.
#ifndef LAPLACE_TESTS_CHECKS_H
#define LAPLACE_TESTS_CHECKS_H

#include <atomic>
#include <cstdio>
#include <cstring>

namespace checks {

constexpr int most_told = 20;

inline std::atomic<int> made{0}, failed{0};

inline bool check(bool holds, const char* condition, const char* file, int line) {
    ++made;
    if (holds) return true;
    if (++failed > most_told) return false;
    const char* const slash = std::strrchr(file, '/');
    std::printf("%s:%d: %s fails\n", slash == nullptr ? file : slash + 1, line, condition);
    std::fflush(stdout);
    return false;
}

// What main() returns.
inline int status() {
    std::printf("%d checks, %d failed\n", made.load(), failed.load());
    return failed.load() == 0 ? 0 : 1;
}

}  // namespace checks

#define CHECK(condition) ::checks::check((condition), #condition, __FILE__, __LINE__)

#endif
