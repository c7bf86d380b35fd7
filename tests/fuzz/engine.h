// Runs a fuzz target: with FUZZ_GUIDED defined by libFuzzer, else by a main() of its own:
//     program [--seconds N] [--seed S] [FILE ...]
// A FILE has an input a line, in hex. Each is checked as it is; then they are changed at random for N
// seconds, by default for none. Include it in the one file of a target.
#ifndef LAPLACE_TESTS_FUZZ_ENGINE_H
#define LAPLACE_TESTS_FUZZ_ENGINE_H

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "support/random_numbers.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define FUZZ_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FUZZ_SANITIZED
#endif
namespace fuzz_engine {

struct Target {
    bool (*check)(const char* data, size_t size);  // aborts where a rule is broken; true: this one counts
    const char* counted;                           // what those are
    std::vector<std::string> tokens;               // pieces of what inputs are made of
    std::vector<std::string> inputs;               // to begin with
};

// What a target's file defines.
Target target();

// What a target calls where a rule is broken.
inline void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

inline const Target& the_target() {
    static const Target made = target();
    return made;
}

inline std::string mutate(std::string text, const Target& target, RandomNumbers& random) {
    for (size_t changes = 1 + random.below(4); changes > 0; --changes) {
        const size_t at = random.below(text.size() + 1);
        switch (random.below(6)) {
            case 0:
                if (at < text.size()) text[at] = static_cast<char>(random.below(256));
                break;
            case 1: text.insert(at, target.tokens[random.below(target.tokens.size())]); break;
            case 2: text.erase(at, 1 + random.below(4)); break;
            case 3:  // a piece of the text once more
                text.insert(at, text.substr(random.below(text.size() + 1), random.below(24)));
                break;
            case 4: {  // a piece of another text
                const std::string& other = target.inputs[random.below(target.inputs.size())];
                text.insert(at, other.substr(random.below(other.size() + 1), random.below(64)));
                break;
            }
            default: text.replace(at, random.below(4), target.tokens[random.below(target.tokens.size())]);
        }
    }
    return text;
}

// What is being checked: told where the program dies of it. libFuzzer does that by itself.
inline std::vector<char>& checked() {
    static std::vector<char> input;
    return input;
}

inline void tell_signal(int number) {
    std::signal(number, SIG_DFL);
    if (number != SIGABRT) std::fprintf(stderr, "broken: it ends by signal %d\n", number);
    std::fprintf(stderr, "input, %zu bytes in hex: ", checked().size());
    for (const char each : checked()) std::fprintf(stderr, "%02x", static_cast<unsigned>(static_cast<unsigned char>(each)));
    std::fprintf(stderr, "\n");
    std::raise(number);
}

inline void tell_what_kills() {
    std::signal(SIGABRT, tell_signal);
#ifndef FUZZ_SANITIZED  // they have reports of their own, and abort
    for (const int number : {SIGSEGV, SIGFPE, SIGILL}) std::signal(number, tell_signal);
#endif
}

// Whether it checks a copy of exactly that size, which counts.
inline bool counts(const std::string& input) {
    std::vector<char>(input.begin(), input.end()).swap(checked());
    return the_target().check(checked().data(), checked().size());
}

// False: it is no hex.
inline bool from_hex(const std::string& line, std::string& input) {
    if (line.size() % 2 != 0) return false;
    for (size_t i = 0; i < line.size(); i += 2) {
        const std::string byte = line.substr(i, 2);
        char* end = nullptr;
        input += static_cast<char>(std::strtoul(byte.c_str(), &end, 16));
        if (*end != '\0') return false;
    }
    return true;
}

inline bool read_inputs(const char* path, std::vector<std::string>& inputs) {
    std::ifstream file(path);
    bool good = static_cast<bool>(file);
    for (std::string line; good && std::getline(file, line);) {
        if (line.empty()) continue;
        good = from_hex(line, inputs.emplace_back());
    }
    if (!good) std::fprintf(stderr, "cannot read %s\n", path);
    return good;
}

inline int run(int argc, char** argv) {
    tell_what_kills();
    Target changed = the_target();
    double seconds = 0;
    uint64_t seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = std::atof(argv[++i]);
        } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else if (!read_inputs(argv[i], changed.inputs)) {
            return 2;
        }
    }
    std::printf("seed %llu, %zu inputs to begin with\n", static_cast<unsigned long long>(seed), changed.inputs.size());
    std::fflush(stdout);

    unsigned long long inputs = changed.inputs.size(), counted = 0;
    for (const std::string& input : changed.inputs) counted += counts(input) ? 1 : 0;
    RandomNumbers random(seed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
        const std::string& input = changed.inputs[random.below(changed.inputs.size())];
        counted += counts(mutate(input, changed, random)) ? 1 : 0;
        ++inputs;
    }
    std::printf("%llu inputs, %llu of them %s, nothing broken\n", inputs, counted, changed.counted);
    return 0;
}

}  // namespace fuzz_engine

#ifndef FUZZ_GUIDED

#ifdef FUZZ_SANITIZED

extern "C" {

const char* __asan_default_options() { return "abort_on_error=1"; }
const char* __ubsan_default_options() { return "abort_on_error=1"; }

}

#endif

int main(int argc, char** argv) { return fuzz_engine::run(argc, argv); }

#else

extern "C" {

size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    fuzz_engine::the_target().check(reinterpret_cast<const char*>(data), size);
    return 0;
}

// By turns with libFuzzer's own changes, which know nothing of what inputs are made of.
size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
    RandomNumbers random(seed);
    if (random.one_in(2)) return LLVMFuzzerMutate(data, size, max_size);
    const fuzz_engine::Target& target = fuzz_engine::the_target();
    std::string text(reinterpret_cast<const char*>(data), size);
    if (size < 2 || random.one_in(64)) text = target.inputs[random.below(target.inputs.size())];
    text = fuzz_engine::mutate(std::move(text), target, random);
    const size_t changed = text.size() < max_size ? text.size() : max_size;
    std::memcpy(data, text.data(), changed);
    return changed;
}

}

#endif

#endif
