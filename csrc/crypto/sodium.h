// libsodium as a table of function pointers, filled by a look-up function from whatever copy the process
// has. The declarations are written by hand from libsodium's stable C ABI, so the build needs none.
#ifndef LAPLACE_SODIUM_H
#define LAPLACE_SODIUM_H

#include <cstddef>
#include <cstdint>

namespace laplace::crypto {

// Named as in libsodium, without its prefixes. What returns int returns 0, or -1 where it failed.
struct Sodium {
    int (*init)();  // 1: it was done before
    int (*memcmp_)(const void* one, const void* other, size_t size);
    void (*memzero)(void* memory, size_t size);
    void (*randombytes_buf)(void* memory, size_t size);

    int (*scalarmult_base)(unsigned char* public_key, const unsigned char* secret_key);
    int (*box_keypair)(unsigned char* public_key, unsigned char* secret_key);
    int (*box_beforenm)(unsigned char* shared, const unsigned char* public_key, const unsigned char* secret_key);
    int (*box_easy_afternm)(unsigned char* box, const unsigned char* text, unsigned long long text_size,
                            const unsigned char* nonce, const unsigned char* shared);
    int (*box_open_easy_afternm)(unsigned char* text, const unsigned char* box, unsigned long long box_size,
                                 const unsigned char* nonce, const unsigned char* shared);

    // What a box is made of, for those that are sealed in slices.
    int (*core_hsalsa20)(unsigned char* out, const unsigned char* in, const unsigned char* key,
                         const unsigned char* constant);
    int (*stream_salsa20_xor_ic)(unsigned char* out, const unsigned char* in, unsigned long long size,
                                 const unsigned char* nonce, uint64_t block, const unsigned char* key);
    size_t (*onetimeauth_poly1305_statebytes)();
    int (*onetimeauth_poly1305_init)(void* state, const unsigned char* key);
    int (*onetimeauth_poly1305_update)(void* state, const unsigned char* bytes, unsigned long long size);
    int (*onetimeauth_poly1305_final)(void* state, unsigned char* tag);
};

// The one table of this module. Filled once, before there is any key; nothing here works without.
extern Sodium sodium;

enum class SodiumStatus : uint8_t { loaded, symbol_missing, unusable };

// The address of what libsodium calls `name`, or null. `where` is what was given to load_sodium().
using FindSymbol = void* (*)(void* where, const char* name);

// Fills the table and has the library begin; a table that is filled stays as it is. Two threads may do so only
// under one lock, which `find` may let go for a while, as Python's code does with its own. `missing` (may be null) receives the name of the first function that was not found.
SodiumStatus load_sodium(FindSymbol find, void* where, const char** missing);

bool have_sodium() noexcept;

}  // namespace laplace::crypto

#endif
