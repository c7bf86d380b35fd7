// Keys for a target that needs libsodium, which is where LAPLACE_LIBSODIUM says; the same for each input, as
// are all random bytes from then on.
#ifndef LAPLACE_TESTS_FUZZ_KEYS_H
#define LAPLACE_TESTS_FUZZ_KEYS_H

#include <cstdlib>

#include "support/curve_ends.h"
#include "support/sodium_library.h"

namespace fuzz_keys {

inline const curve_ends::Keys& the_same_keys() {
    static const curve_ends::Keys keys = [] {
        const char* const path = std::getenv("LAPLACE_LIBSODIUM");
        if (path == nullptr || !sodium_library::load(path)) std::exit(2);
        sodium_library::fix_random(2);
        return curve_ends::Keys();
    }();
    sodium_library::fix_random(1);
    return keys;
}

}  // namespace fuzz_keys

#endif
