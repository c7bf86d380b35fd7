// What streams look like on the wire: docs/streams.md has it to the byte. Numbers are
// little-endian, as on every processor this is built for.
#ifndef LAPLACE_STREAM_WIRE_H
#define LAPLACE_STREAM_WIRE_H

#include <cstdint>
#include <cstring>
#include <string_view>

namespace laplace {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the stream headers are written for little-endian processors"
#endif

enum class StreamKind : uint8_t {
    updates = 1,  // server: times, then the texts as a JSON array; frames of arrays follow
    loose = 5,    // server: the same, where that array is not strict JSON
    alive = 2,    // server: nothing new for a while
    end = 3,      // server: nothing will follow
    unknown = 4,  // server: no such subscription, subscribe again
    credit = 16,  // client: how much may be sent, and what has come
    leave = 17    // client: send nothing more
};

constexpr char stream_magic[4] = {'\0', 'L', 'H', 'C'};  // no JSON text begins so
constexpr uint8_t stream_version = 1;

// In front of whatever the server sends.
struct StreamHeader {
    char magic[4];
    uint8_t version;
    StreamKind kind;
    uint16_t arrays;        // frames that follow
    uint32_t subscription;  // the client's number for it
    uint32_t count;         // of updates in this message
    uint64_t epoch;         // of the server
    uint64_t first;         // number of the first update; without any, of the next to come
    uint64_t last;          // of the last update published when this was sent
    uint64_t lost;          // updates right before `first` that were not sent and will not be
    uint64_t lost_in_all;
    uint64_t sent_in_all;   // updates, those of this message included
};
static_assert(sizeof(StreamHeader) == 64, "docs/streams.md");

// What a client sends, alone in its frame. The limits count from the subscription's begin.
struct StreamControl {
    char magic[4];
    uint8_t version;
    StreamKind kind;
    uint16_t reserved;
    uint32_t subscription;
    uint32_t reserved2;
    uint64_t messages;  // that may be sent in all
    uint64_t bytes;     // beyond which nothing more is begun
    uint64_t next;      // number of the update the client waits for
};
static_assert(sizeof(StreamControl) == 40, "docs/streams.md");

inline bool is_stream_control(std::string_view body, StreamControl& control) noexcept {
    if (body.size() != sizeof control || std::memcmp(body.data(), stream_magic, sizeof stream_magic) != 0) return false;
    std::memcpy(&control, body.data(), sizeof control);
    return control.version == stream_version && (control.kind == StreamKind::credit || control.kind == StreamKind::leave);
}

}  // namespace laplace

#endif
