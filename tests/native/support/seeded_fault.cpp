// A fault on purpose, at import, where LAPLACE_SEEDED_FAULT names one. Never part of the package:
// tests/package/sanitize.py puts it into the core that it builds, to see that a fault is reported.

#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

void use_after_free() {
    volatile char* volatile memory = new char[16];  // volatile: or the compiler takes the fault out
    memory[0] = 1;
    delete[] memory;
    memory[0] = 2;
}

void shift() {
    volatile int number = 1, bits = 40;  // (an overflow is none: Python's flags have -fwrapv)
    number = number << bits;
}

void leak() {
    char* volatile memory = new char[1234];
    memory[0] = 1;
    memory = nullptr;
}

volatile int shared_number = 0;

void race() {
    const auto count = [] {
        for (int i = 0; i < 1000; ++i)
            shared_number = shared_number + 1;
    };
    std::thread other(count);
    count();
    other.join();
}

[[gnu::constructor]] void make_fault() {
    const char* wanted = std::getenv("LAPLACE_SEEDED_FAULT");
    if (wanted == nullptr)
        return;
    if (std::strcmp(wanted, "use-after-free") == 0)
        use_after_free();
    else if (std::strcmp(wanted, "shift") == 0)
        shift();
    else if (std::strcmp(wanted, "leak") == 0)
        leak();
    else if (std::strcmp(wanted, "race") == 0)
        race();
}

}  // namespace
