// Runs a fuzz target where libFuzzer is not to be had: changes the inputs it is given at random.
//     program [--seconds N] [--seed S] [file ...]
#ifndef LAPLACE_TESTS_FUZZ_ENGINE_H
#define LAPLACE_TESTS_FUZZ_ENGINE_H

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/random_numbers.h"

namespace fuzz_engine {

struct Target {
    bool (*check)(const char* data, size_t size);  // aborts where a rule is broken; true: this one counts
    const char* counted;                           // what those are
    std::vector<std::string> tokens;               // pieces of what inputs are made of
    std::vector<std::string> inputs;               // to begin with
};

// What a target calls where a rule is broken.
inline void require(bool holds, const char* what, const char* data, size_t size) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\ninput, %zu bytes in hex: ", what, size);
    for (size_t i = 0; i < size; ++i)
        std::fprintf(stderr, "%02x", static_cast<unsigned>(static_cast<unsigned char>(data[i])));
    std::fprintf(stderr, "\n");
    std::abort();
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

inline int run(Target target, int argc, char** argv) {
    const auto begin = std::chrono::steady_clock::now();
    double seconds = 10;
    uint64_t seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = std::atof(argv[++i]);
        } else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else {
            std::ifstream file(argv[i], std::ios::binary);
            if (!file) {
                std::fprintf(stderr, "cannot read %s\n", argv[i]);
                return 2;
            }
            target.inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
        }
    }
    std::printf("seed %llu, %zu texts\n", static_cast<unsigned long long>(seed), target.inputs.size());
    std::fflush(stdout);

    RandomNumbers random(seed);
    unsigned long long inputs = 0;
    unsigned long long counted = 0;
    const std::chrono::duration<double> time(seconds);
    while (std::chrono::steady_clock::now() - begin < time) {
        for (int i = 0; i < 256; ++i, ++inputs) {
            const std::string text = mutate(target.inputs[random.below(target.inputs.size())], target, random);
            const std::vector<char> exact(text.begin(), text.end());
            if (target.check(exact.data(), exact.size())) ++counted;
        }
    }
    std::printf("%llu inputs, %llu of them %s, nothing broken\n", inputs, counted, target.counted);
    return 0;
}

}  // namespace fuzz_engine

#endif
