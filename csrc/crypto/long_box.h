// One long box, sealed slice by slice out of memory that stays as it is: no copy is made, each slice is
// still in the processor's cache when its tag is taken, and who has more to do may do so in between.
// To the byte what crypto_box makes of it.
#ifndef LAPLACE_LONG_BOX_H
#define LAPLACE_LONG_BOX_H

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "crypto/box.h"
#include "crypto/keys.h"

namespace laplace::crypto {

class LongBox {
public:
    static constexpr size_t tag_state_size = 256;  // as libsodium has it
    static constexpr size_t slice = 16 * 1024;

    LongBox() noexcept = default;
    ~LongBox() { wipe(); }
    LongBox(const LongBox&) = delete;
    LongBox& operator=(const LongBox&) = delete;

    // The text is one byte and what follows; the box has room for both and box_overhead. Text and box stay
    // where they are until it is sealed, apart from each other. False: libsodium failed.
    [[nodiscard]] bool begin(char first, std::string_view rest, char* box, const Nonce& nonce,
                             const SharedKey& key) noexcept;
    // Goes on with about so many bytes more, a slice at least. False: libsodium failed.
    [[nodiscard]] bool go_on(size_t bytes) noexcept;
    // Whether the box is finished. It must not be seen by anybody before.
    bool is_sealed() const noexcept { return box_ == nullptr; }

private:
    [[nodiscard]] bool seal_slice(size_t size) noexcept;
    [[nodiscard]] bool finish() noexcept;
    void wipe() noexcept;

    alignas(64) unsigned char tag_state_[tag_state_size] = {};
    unsigned char subkey_[key_size] = {};
    unsigned char stream_nonce_[8] = {};
    char* box_ = nullptr;
    const char* from_ = nullptr;
    char* to_ = nullptr;
    size_t left_ = 0;
    uint64_t block_ = 0;
};

// Opens a box whose parts lie apart: its tag, the first byte of its text, and the rest. False: it was not made
// with this key and nonce, or has been changed, and then nothing of it may be used; or libsodium failed.
[[nodiscard]] bool open_apart(const char* tag, char& first, char* rest, size_t rest_size, const Nonce& nonce,
                              const SharedKey& key) noexcept;

}  // namespace laplace::crypto

#endif
