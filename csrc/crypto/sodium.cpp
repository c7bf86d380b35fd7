#include "crypto/sodium.h"

#include "crypto/long_box.h"

namespace laplace::crypto {

Sodium sodium{};

namespace {

struct Symbol {
    const char* name;
    void** slot;
};

template <typename Function>
void** slot_of(Function*& function) noexcept {
    static_assert(sizeof(Function*) == sizeof(void*), "functions and data share one pointer size");
    return reinterpret_cast<void**>(&function);
}

}  // namespace

SodiumStatus load_sodium(FindSymbol find, void* where, const char** missing) {
    if (have_sodium()) return SodiumStatus::loaded;
    Sodium found{};
    const Symbol symbols[] = {
        {"sodium_init", slot_of(found.init)},
        {"sodium_memcmp", slot_of(found.memcmp_)},
        {"sodium_memzero", slot_of(found.memzero)},
        {"randombytes_buf", slot_of(found.randombytes_buf)},
        {"crypto_scalarmult_base", slot_of(found.scalarmult_base)},
        {"crypto_box_keypair", slot_of(found.box_keypair)},
        {"crypto_box_beforenm", slot_of(found.box_beforenm)},
        {"crypto_box_easy_afternm", slot_of(found.box_easy_afternm)},
        {"crypto_box_open_easy_afternm", slot_of(found.box_open_easy_afternm)},
        {"crypto_core_hsalsa20", slot_of(found.core_hsalsa20)},
        {"crypto_stream_salsa20_xor_ic", slot_of(found.stream_salsa20_xor_ic)},
        {"crypto_onetimeauth_poly1305_statebytes", slot_of(found.onetimeauth_poly1305_statebytes)},
        {"crypto_onetimeauth_poly1305_init", slot_of(found.onetimeauth_poly1305_init)},
        {"crypto_onetimeauth_poly1305_update", slot_of(found.onetimeauth_poly1305_update)},
        {"crypto_onetimeauth_poly1305_final", slot_of(found.onetimeauth_poly1305_final)},
    };
    for (const Symbol& wanted : symbols) {
        *wanted.slot = find(where, wanted.name);
        if (*wanted.slot == nullptr) {
            if (missing != nullptr) *missing = wanted.name;
            return SodiumStatus::symbol_missing;
        }
    }
    if (found.init() < 0 || found.onetimeauth_poly1305_statebytes() > LongBox::tag_state_size)
        return SodiumStatus::unusable;
    // Looking for them may have let another thread of Python do the same, and begin to use it.
    if (!have_sodium()) sodium = found;
    return SodiumStatus::loaded;
}

bool have_sodium() noexcept { return sodium.init != nullptr; }

}  // namespace laplace::crypto
