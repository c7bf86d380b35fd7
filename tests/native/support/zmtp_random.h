// What a peer may send, made at random: mostly by the rules, sometimes against them.
#ifndef LAPLACE_TESTS_ZMTP_RANDOM_H
#define LAPLACE_TESTS_ZMTP_RANDOM_H

#include <cstdint>
#include <string>
#include <vector>

#include "support/random_numbers.h"
#include "support/zmtp_events.h"

namespace zmtp_random {

inline std::string text(RandomNumbers& random, size_t size) {
    std::string result;
    for (size_t i = 0; i < size; ++i) result += static_cast<char>(random.below(256));
    return result;
}

inline std::string body(RandomNumbers& random) {
    static const size_t sizes[] = {0, 0, 1, 2, 5, 30, 150, 254, 255, 256, 257, 600};
    return text(random, sizes[random.below(sizeof sizes / sizeof *sizes)]);
}

inline std::string frame(RandomNumbers& random, bool more) {
    const std::string content = body(random);
    return random.one_in(4) ? zmtp_events::long_frame(content, more) : zmtp_events::frame(content, more);
}

inline std::string command(RandomNumbers& random) {
    switch (random.below(4)) {
        case 0: return zmtp_events::ping(static_cast<unsigned>(random.below(65536)), text(random, random.below(17)));
        case 1: return zmtp_events::pong(text(random, random.below(17)));
        case 2: {
            const std::string content = "\11SUBSCRIBE" + body(random);
            return zmtp_events::long_header(6, content.size()) + content;
        }
        default: return zmtp_events::command("\1X" + text(random, random.below(50)));
    }
}

// A message in up to five frames, maybe with commands between them.
inline std::string message(RandomNumbers& random) {
    std::string result;
    for (size_t left = random.below(5);; --left) {
        if (random.one_in(6)) result += command(random);
        result += random.one_in(2) ? zmtp_events::frame("", left > 0) : frame(random, left > 0);
        if (left == 0) return result;
    }
}

inline std::string opening(RandomNumbers& random) {
    static const char* const types[] = {"REQ", "DEALER", "ROUTER"};
    std::string content = "\5READY";
    if (random.one_in(3)) content += zmtp_events::property("X-" + std::string(random.below(200), 'x'), body(random));
    content += zmtp_events::property("Socket-Type", types[random.below(3)]);
    if (random.one_in(2)) content += zmtp_events::property("Identity", text(random, random.below(256)));
    return zmtp_events::greeting() + zmtp_events::long_header(6, content.size()) + content;
}

inline std::string conversation(RandomNumbers& random) {
    std::string result = opening(random);
    for (size_t left = random.below(6); left > 0; --left)
        result += random.one_in(3) ? command(random) : message(random);
    if (random.one_in(3)) {
        for (size_t changes = 1 + random.below(3); changes > 0; --changes)
            result[random.below(result.size())] = static_cast<char>(random.below(256));
    }
    return result;
}

// Where to cut so many bytes: in rising order, at random, with places that appear twice.
inline std::vector<size_t> cuts(RandomNumbers& random, size_t size) {
    std::vector<size_t> places;
    const size_t longest = 1 + random.below(1 + random.below(300));
    for (size_t at = random.below(longest + 1); at < size; at += random.below(longest + 1)) {
        places.push_back(at);
        if (places.size() > 10 * size) break;
    }
    return places;
}

}  // namespace zmtp_random

#endif
