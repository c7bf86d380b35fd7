#include "zmtp/metadata.h"

#include <algorithm>
#include <cstddef>

#include "zmtp/frames.h"

namespace laplace::zmtp {

namespace {

constexpr size_t value_size_size = 4;

bool is_named(std::string_view name, std::string_view wanted) noexcept {
    return name.size() == wanted.size() &&
           std::equal(name.begin(), name.end(), wanted.begin(), [](char a, char b) { return lower(a) == b; });
}

// Takes that many bytes from the front. False: there are fewer.
bool take(std::string_view& from, size_t size, std::string_view& taken) noexcept {
    if (size > from.size()) return false;
    taken = from.substr(0, size);
    from.remove_prefix(size);
    return true;
}

bool take_name(std::string_view& from, std::string_view& name) noexcept {
    const size_t size = byte_of(from[0]);
    from.remove_prefix(1);
    return size != 0 && take(from, size, name) && std::all_of(name.begin(), name.end(), belongs_in_name);
}

bool take_value(std::string_view& from, std::string_view& value) noexcept {
    std::string_view digits;
    if (!take(from, value_size_size, digits)) return false;
    uint32_t size = 0;
    for (const char digit : digits) size = size << 8 | byte_of(digit);
    return take(from, size, value);
}

}  // namespace

MetadataState read_metadata(std::string_view metadata, SocketType own, SocketType& peer) noexcept {
    bool is_fit = true;
    while (!metadata.empty()) {
        std::string_view name, value;
        if (!take_name(metadata, name) || !take_value(metadata, value)) return MetadataState::malformed;
        if (is_named(name, "identity") && value.size() > max_identity) return MetadataState::malformed;
        if (!is_named(name, "socket-type")) continue;
        peer = socket_type(value);
        is_fit = is_fit && peer != SocketType::unknown && may_talk(own, peer);
    }
    return is_fit ? MetadataState::good : MetadataState::socket_type;
}

}  // namespace laplace::zmtp
