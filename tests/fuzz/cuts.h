// How a target cuts what comes into parts, as its input says.
#ifndef LAPLACE_TESTS_FUZZ_CUTS_H
#define LAPLACE_TESTS_FUZZ_CUTS_H

#include <cstddef>
#include <string_view>
#include <vector>

namespace fuzz_cuts {

constexpr size_t most_cuts = 15;

// Parts of these sizes, over and over; without any, all of it.
inline std::vector<std::string_view> parts_of(std::string_view text, std::string_view distances) {
    std::vector<std::string_view> parts;
    size_t i = 0, without = 0;
    while (!text.empty() && !distances.empty() && without < distances.size()) {
        const size_t distance = static_cast<unsigned char>(distances[i++ % distances.size()]);
        without = distance == 0 ? without + 1 : 0;
        parts.push_back(text.substr(0, distance));
        text.remove_prefix(parts.back().size());
    }
    parts.push_back(text);
    return parts;
}

}  // namespace fuzz_cuts

#endif
