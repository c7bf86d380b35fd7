// What a connection has not taken yet, in order. Used by whoever has the turn.
#ifndef LAPLACE_OUTBOX_H
#define LAPLACE_OUTBOX_H

#include <cstddef>
#include <string_view>
#include <vector>

#include "tcp/socket.h"
#include "transport/message.h"

namespace laplace {

class Outbox {
public:
    bool empty() const noexcept { return size_ == 0; }
    size_t size() const noexcept { return size_; }  // bytes

    // Adds a copy. Throws std::bad_alloc; then nothing has changed.
    void add(std::string_view bytes);
    // Adds a message as it goes on the wire; frames that are not small are shared. Throws std::bad_alloc;
    // then nothing has changed.
    void add(std::string_view route, const Message& body, const std::vector<Message>& more);

    // Adds bytes that nobody else has. Throws std::bad_alloc; then nothing has changed.
    void add(Message&& bytes);
    // Room for so many bytes, which count as added, and are written at once. Few of them: they lie beside
    // others. Throws std::bad_alloc; then nothing has changed.
    char* extend(size_t size);

    // The first frame, where all that waits is whole frames; it stays until it has left().
    struct Front {
        unsigned flags;
        std::string_view body;
        const Message* memory;  // of the body, unless that is empty
        size_t encoded;         // bytes, with the header
    };
    Front front() const noexcept;

    // The next bytes, up to `most` of them in up to most_pieces; returns how many pieces these are.
    size_t next(Piece (&pieces)[most_pieces], size_t most) const noexcept;
    // So many bytes have left.
    void left(size_t bytes) noexcept;
    void clear() noexcept { *this = Outbox(); }

private:
    struct Part {
        Message bytes;
        size_t begin, end;
    };
    void push(const Message& bytes, size_t begin, size_t end) noexcept;
    // Throws std::bad_alloc; then nothing has changed.
    void reserve(size_t more);

    std::vector<Part> parts_;
    size_t first_ = 0;  // of parts_, that has not left
    size_t size_ = 0;
    // Small messages lie in it one behind the other: for each, a part of its own would cost as much again.
    Message chunk_;
    size_t chunk_used_ = 0;
};

}  // namespace laplace

#endif
