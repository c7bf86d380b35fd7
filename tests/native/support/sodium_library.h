// The libsodium of a file, and libsodium with other functions in places.
#ifndef LAPLACE_TESTS_SODIUM_LIBRARY_H
#define LAPLACE_TESTS_SODIUM_LIBRARY_H

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "crypto/keys.h"
#include "crypto/sodium.h"

namespace sodium_library {

using laplace::crypto::Sodium;
using laplace::crypto::sodium;

#ifdef _WIN32
inline void* open(const char* path) { return LoadLibraryA(path); }
inline void* find(void* library, const char* name) {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
inline void* open(const char* path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
inline void* find(void* library, const char* name) { return dlsym(library, name); }
#endif

// Whether the table is filled from the library at `path`; says why not.
inline bool load(const char* path) {
    void* const library = open(path);
    if (library == nullptr) {
        std::printf("there is no libsodium at %s\n", path);
        return false;
    }
    const char* missing = "";
    if (laplace::crypto::load_sodium(find, library, &missing) == laplace::crypto::SodiumStatus::loaded) return true;
    std::printf("%s lacks %s\n", path, missing);
    return false;
}

// Puts the table back as it was.
class Restored {
public:
    Restored() : before_(sodium) {}
    ~Restored() { sodium = before_; }
    Restored(const Restored&) = delete;
    Restored& operator=(const Restored&) = delete;

private:
    const Sodium before_;
};

// ---- random bytes that are the same each time, for conversations that are to be repeated

inline uint64_t fixed_state = 0;

inline void fixed_bytes(void* memory, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        fixed_state = fixed_state * 6364136223846793005u + 1442695040888963407u;
        static_cast<unsigned char*>(memory)[i] = static_cast<unsigned char>(fixed_state >> 56);
    }
}

inline int fixed_key_pair(unsigned char* public_key, unsigned char* secret_key) {
    fixed_bytes(secret_key, laplace::crypto::key_size);
    return sodium.scalarmult_base(public_key, secret_key);
}

inline void fix_random(uint64_t seed) {
    fixed_state = seed;
    sodium.randombytes_buf = fixed_bytes;
    sodium.box_keypair = fixed_key_pair;
}

// ---- keys that are made, in the order they were made in

inline std::vector<std::string> secrets_made;  // of pairs
inline std::vector<std::string> random_keys;   // and others
inline decltype(Sodium::box_keypair) true_key_pair = nullptr;
inline decltype(Sodium::randombytes_buf) true_random = nullptr;

inline int noted_key_pair(unsigned char* public_key, unsigned char* secret_key) {
    const int result = true_key_pair(public_key, secret_key);
    secrets_made.emplace_back(reinterpret_cast<const char*>(secret_key), laplace::crypto::key_size);
    return result;
}

inline void noted_random(void* memory, size_t size) {
    true_random(memory, size);
    if (size == laplace::crypto::key_size) random_keys.emplace_back(static_cast<const char*>(memory), size);
}

// While a Restored lives.
inline void note_keys() {
    secrets_made.clear();
    random_keys.clear();
    true_random = sodium.randombytes_buf;
    sodium.randombytes_buf = noted_random;
    true_key_pair = sodium.box_keypair;
    sodium.box_keypair = noted_key_pair;
}

}  // namespace sodium_library

#endif
