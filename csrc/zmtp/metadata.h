// What a peer says of itself, in READY or INITIATE, where all of it is there at once.
#ifndef LAPLACE_METADATA_H
#define LAPLACE_METADATA_H

#include <cstdint>
#include <string_view>

#include "zmtp/commands.h"

namespace laplace::zmtp {

constexpr char lower(char character) noexcept {
    return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a') : character;
}

// Of the name of a property.
constexpr bool belongs_in_name(char character) noexcept {
    const char small = lower(character);
    return (small >= 'a' && small <= 'z') || (small >= '0' && small <= '9') || small == '-' || small == '_' ||
           small == '.' || small == '+';
}

enum class MetadataState : uint8_t { good, malformed, socket_type };  // socket_type: one that ours does not talk to

// `peer` is what the peer says that it is, and stays as it is where it does not say so.
MetadataState read_metadata(std::string_view metadata, SocketType own, SocketType& peer) noexcept;

}  // namespace laplace::zmtp

#endif
