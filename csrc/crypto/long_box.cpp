#include "crypto/long_box.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace laplace::crypto {

namespace {

constexpr size_t block_size = 64;    // of the stream
constexpr size_t tag_key_size = 32;  // the stream's first bytes, which hide no text
constexpr size_t first_room = block_size - tag_key_size;
constexpr size_t hashed_nonce = 16;
static_assert(LongBox::slice % block_size == 0, "a slice begins with a block");

}  // namespace

bool LongBox::begin(char first, std::string_view rest, char* box, const Nonce& nonce, const SharedKey& key) noexcept {
    assert(is_sealed());
    box_ = box;
    if (sodium.core_hsalsa20(subkey_, nonce.bytes, key.bytes, nullptr) != 0) return false;
    std::memcpy(stream_nonce_, nonce.bytes + hashed_nonce, sizeof stream_nonce_);

    Secret<block_size> block;
    const size_t beside = std::min(rest.size(), first_room - 1);
    block.bytes[tag_key_size] = static_cast<unsigned char>(first);
    if (beside != 0) std::memcpy(block.bytes + tag_key_size + 1, rest.data(), beside);
    unsigned char* const at = block.bytes;
    const size_t used = tag_key_size + 1 + beside;
    if (sodium.stream_salsa20_xor_ic(at, at, used, stream_nonce_, 0, subkey_) != 0) return false;
    if (sodium.onetimeauth_poly1305_init(tag_state_, block.bytes) != 0) return false;
    std::memcpy(box + box_overhead, block.bytes + tag_key_size, 1 + beside);
    if (sodium.onetimeauth_poly1305_update(tag_state_, bytes_of(box + box_overhead), 1 + beside) != 0) return false;

    from_ = rest.data() + beside;
    to_ = box + box_overhead + 1 + beside;
    left_ = rest.size() - beside;
    block_ = 1;
    return left_ != 0 || finish();
}

bool LongBox::go_on(size_t bytes) noexcept {
    for (size_t done = 0; !is_sealed() && (done == 0 || done < bytes);) {
        const size_t size = std::min(left_, slice);
        if (!seal_slice(size)) return false;
        done += size;
        if (left_ == 0 && !finish()) return false;
    }
    return true;
}

bool LongBox::seal_slice(size_t size) noexcept {
    unsigned char* const to = bytes_of(to_);
    if (sodium.stream_salsa20_xor_ic(to, bytes_of(from_), size, stream_nonce_, block_, subkey_) != 0) return false;
    if (sodium.onetimeauth_poly1305_update(tag_state_, to, size) != 0) return false;
    from_ += size;
    to_ += size;
    left_ -= size;
    block_ += size / block_size;  // only the last slice ends within one
    return true;
}

bool LongBox::finish() noexcept {
    if (sodium.onetimeauth_poly1305_final(tag_state_, bytes_of(box_)) != 0) return false;
    box_ = nullptr;
    wipe();
    return true;
}

void LongBox::wipe() noexcept {
    sodium.memzero(tag_state_, sizeof tag_state_);
    sodium.memzero(subkey_, sizeof subkey_);
}

// ---- opening

namespace {

// Takes the tag and opens in one pass, slice by slice: so each is in the processor's cache for both.
bool open_slices(unsigned char* rest, size_t size, const unsigned char* stream_nonce, const unsigned char* subkey,
                 unsigned char* tag_state) noexcept {
    for (uint64_t block = 1; size != 0;) {
        const size_t part = std::min(size, LongBox::slice);
        if (sodium.onetimeauth_poly1305_update(tag_state, rest, part) != 0) return false;
        if (sodium.stream_salsa20_xor_ic(rest, rest, part, stream_nonce, block, subkey) != 0) return false;
        rest += part;
        size -= part;
        block += part / block_size;
    }
    return true;
}

}  // namespace

bool open_apart(const char* tag, char& first, char* rest, size_t rest_size, const Nonce& nonce,
                const SharedKey& key) noexcept {
    Secret<key_size> subkey;
    Secret<block_size> block;
    alignas(64) Secret<LongBox::tag_state_size> tag_state;
    if (sodium.core_hsalsa20(subkey.bytes, nonce.bytes, key.bytes, nullptr) != 0) return false;
    const unsigned char* const stream_nonce = nonce.bytes + hashed_nonce;
    const size_t beside = std::min(rest_size, first_room - 1);
    unsigned char* const text = block.bytes + tag_key_size;
    const size_t text_size = 1 + beside;
    text[0] = static_cast<unsigned char>(first);
    if (beside != 0) std::memcpy(text + 1, rest, beside);
    unsigned char sealed[first_room];
    std::memcpy(sealed, text, text_size);
    unsigned char* const at = block.bytes;
    if (sodium.stream_salsa20_xor_ic(at, at, tag_key_size + text_size, stream_nonce, 0, subkey.bytes) != 0) return false;
    if (sodium.onetimeauth_poly1305_init(tag_state.bytes, block.bytes) != 0) return false;
    if (sodium.onetimeauth_poly1305_update(tag_state.bytes, sealed, text_size) != 0) return false;
    unsigned char* const behind = bytes_of(rest) + beside;
    if (!open_slices(behind, rest_size - beside, stream_nonce, subkey.bytes, tag_state.bytes)) return false;
    unsigned char own_tag[box_overhead];
    if (sodium.onetimeauth_poly1305_final(tag_state.bytes, own_tag) != 0) return false;
    if (!same(own_tag, tag, box_overhead)) {
        sodium.memzero(rest, rest_size);  // what nobody vouches for
        return false;
    }
    first = static_cast<char>(text[0]);
    if (beside != 0) std::memcpy(rest, text + 1, beside);
    return true;
}

}  // namespace laplace::crypto
