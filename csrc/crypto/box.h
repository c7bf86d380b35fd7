// Boxes of crypto_box, sealed and opened where they lie: the text is behind the first 16 bytes, which are
// the box's tag. So nothing is copied.
#ifndef LAPLACE_BOX_H
#define LAPLACE_BOX_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "crypto/keys.h"

namespace laplace::crypto {

constexpr size_t box_overhead = 16;

// No two boxes of one key may have the same.
struct Nonce {
    static constexpr size_t size = 24;
    static constexpr size_t prefix_of_short = 16;
    static constexpr size_t prefix_of_long = 8;
    static constexpr size_t random_part = size - prefix_of_long;

    // The number is taken as it is on the wire, from the highest byte on.
    static Nonce of_number(std::string_view prefix, const char* number) noexcept {
        return Nonce(prefix.substr(0, prefix_of_short), number);
    }
    static Nonce of_random(std::string_view prefix, const char* random) noexcept {
        return Nonce(prefix.substr(0, prefix_of_long), random);
    }

    unsigned char bytes[size];

private:
    Nonce(std::string_view prefix, const char* rest) noexcept {
        std::memcpy(bytes, prefix.data(), prefix.size());
        std::memcpy(bytes + prefix.size(), rest, size - prefix.size());
    }
};

[[nodiscard]] inline bool seal_in_place(char* box, size_t text_size, const Nonce& nonce,
                                        const SharedKey& key) noexcept {
    unsigned char* const at = bytes_of(box);
    return sodium.box_easy_afternm(at, at + box_overhead, text_size, nonce.bytes, key.bytes) == 0;
}

// False: it was not made with this key and nonce, or has been changed. Then there is no text.
[[nodiscard]] inline bool open_in_place(char* box, size_t box_size, const Nonce& nonce,
                                        const SharedKey& key) noexcept {
    unsigned char* const at = bytes_of(box);
    return box_size >= box_overhead &&
           sodium.box_open_easy_afternm(at + box_overhead, at, box_size, nonce.bytes, key.bytes) == 0;
}

}  // namespace laplace::crypto

#endif
