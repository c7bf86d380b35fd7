// Frames of ZMTP 3 as they are on the wire: flags, a size of one byte or of eight, the body.
#ifndef LAPLACE_ZMTP_FRAMES_H
#define LAPLACE_ZMTP_FRAMES_H

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace laplace::zmtp {

// What the first byte of a frame says; its other bits are reserved.
constexpr unsigned flag_more = 1;
constexpr unsigned flag_long = 2;
constexpr unsigned flag_command = 4;
constexpr unsigned all_flags = flag_more | flag_long | flag_command;

constexpr size_t short_header = 2;
constexpr size_t long_header = 9;
constexpr size_t max_header = long_header;
constexpr uint64_t max_short_size = 255;
constexpr uint64_t max_frame_size = INT64_MAX;

inline unsigned byte_of(char character) noexcept { return static_cast<unsigned char>(character); }

// Numbers on the wire begin with the highest byte.
inline uint64_t read_uint64(const char* from) noexcept {
    const auto at = [from](int i) { return static_cast<uint64_t>(byte_of(from[i])); };  // one instruction, not a loop
    return at(0) << 56 | at(1) << 48 | at(2) << 40 | at(3) << 32 | at(4) << 24 | at(5) << 16 | at(6) << 8 | at(7);
}

constexpr size_t header_size(uint64_t size) noexcept { return size <= max_short_size ? short_header : long_header; }

namespace detail {

// The header of a frame, the shortest there is; returns what is behind it.
inline char* encode_header(unsigned flags, uint64_t size, char* out) noexcept {
    if (size <= max_short_size) {
        out[0] = static_cast<char>(flags);
        out[1] = static_cast<char>(size);
        return out + short_header;
    }
    out[0] = static_cast<char>(flags | flag_long);
    for (int i = 0; i < 8; ++i) out[1 + i] = static_cast<char>(size >> (56 - 8 * i) & 0xFF);
    return out + long_header;
}

}  // namespace detail

// Writes the header of a message's frame, up to max_header bytes; returns what is behind it.
inline char* encode_header(bool more, uint64_t size, char* out) noexcept {
    return detail::encode_header(more ? flag_more : 0, size, out);
}

struct Frame {
    std::string_view body;
    bool more = false;
};

// The frames in memory that holds nothing but whole frames of messages, which nobody checks here:
//     for (const Frame frame : Frames(bytes))
class Frames {
public:
    class Iterator {
    public:
        explicit Iterator(const char* at) noexcept : at_(at) {}
        Frame operator*() const noexcept {
            const char* const body = at_ + header();
            return {{body, static_cast<size_t>(size())}, (byte_of(at_[0]) & flag_more) != 0};
        }
        Iterator& operator++() noexcept {
            at_ += header() + static_cast<size_t>(size());
            return *this;
        }
        bool operator!=(const Iterator& other) const noexcept { return at_ != other.at_; }

    private:
        bool is_long() const noexcept { return (byte_of(at_[0]) & flag_long) != 0; }
        size_t header() const noexcept { return is_long() ? long_header : short_header; }
        uint64_t size() const noexcept { return is_long() ? read_uint64(at_ + 1) : byte_of(at_[1]); }

        const char* at_;
    };

    explicit Frames(std::string_view bytes) noexcept : bytes_(bytes) {}
    Iterator begin() const noexcept { return Iterator(bytes_.data()); }
    Iterator end() const noexcept { return Iterator(bytes_.data() + bytes_.size()); }

private:
    const std::string_view bytes_;
};

}  // namespace laplace::zmtp

#endif
