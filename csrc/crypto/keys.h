// Keys of Curve25519, and how secrets are kept: in one place, wiped when that ends.
#ifndef LAPLACE_KEYS_H
#define LAPLACE_KEYS_H

#include <cstddef>

#include "crypto/sodium.h"

namespace laplace::crypto {

constexpr size_t key_size = 32;

inline unsigned char* bytes_of(char* text) noexcept { return reinterpret_cast<unsigned char*>(text); }
inline const unsigned char* bytes_of(const char* text) noexcept {
    return reinterpret_cast<const unsigned char*>(text);
}

// In a time that does not tell where they differ.
inline bool same(const void* one, const void* other, size_t size) noexcept {
    return sodium.memcmp_(one, other, size) == 0;
}

struct PublicKey {
    unsigned char bytes[key_size] = {};

    bool operator==(const PublicKey& other) const noexcept { return same(bytes, other.bytes, key_size); }
    bool operator!=(const PublicKey& other) const noexcept { return !(*this == other); }
};

// Not to be copied, so that there is one place to wipe.
template <size_t size>
struct Secret {
    Secret() noexcept = default;
    ~Secret() { wipe(); }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;

    void wipe() noexcept { sodium.memzero(bytes, size); }

    unsigned char bytes[size] = {};
};

struct SecretKey : Secret<key_size> {};
// What the two ends of a box have in common; of the key of one and the public key of the other.
struct SharedKey : Secret<key_size> {};

struct KeyPair {
    PublicKey public_key;
    SecretKey secret_key;
};

// False: libsodium could make none.
[[nodiscard]] inline bool make_keys(KeyPair& keys) noexcept {
    return sodium.box_keypair(keys.public_key.bytes, keys.secret_key.bytes) == 0;
}

// False: the other's key is one of those that everybody shares a key with.
[[nodiscard]] inline bool share(const PublicKey& theirs, const SecretKey& own, SharedKey& shared) noexcept {
    return sodium.box_beforenm(shared.bytes, theirs.bytes, own.bytes) == 0;
}

}  // namespace laplace::crypto

#endif
