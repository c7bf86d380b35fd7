// What a connection is to send and the network has not taken yet, in order. The bytes stay where they are:
// each piece has an owner, who is let go when it has left.
#ifndef LAPLACE_UNSENT_H
#define LAPLACE_UNSENT_H

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tcp/socket.h"

namespace laplace {

enum class UnsentKind : uint8_t {
    opening,  // may leave before the handshake is over
    answer,   // of ZMTP itself
    message   // or a part of one
};

class Unsent {
public:
    using Kind = UnsentKind;
    using LetGo = void (*)(void* owner);

    static constexpr size_t most_at_once = size_t{1} << 28;  // some systems refuse more in one call

    Unsent() noexcept = default;
    ~Unsent() { clear(); }
    Unsent(const Unsent&) = delete;
    Unsent& operator=(const Unsent&) = delete;

    // Once, before anything is added. It is called where pieces leave or are cleared.
    void set_let_go(LetGo let_go) noexcept { let_go_ = let_go; }

    // Makes room for so many pieces. Throws std::bad_alloc; then nothing has changed.
    void reserve(size_t pieces);
    // Adds one, for which there is room, and takes its owner over. It is not empty.
    void add(void* owner, std::string_view bytes, Kind kind) noexcept;

    // The next pieces that may leave, up to most_at_once bytes; returns how many these are. Before the
    // handshake is over (`ready`), that is the opening.
    size_t next(Piece (&pieces)[most_pieces], bool ready) const noexcept;
    // So many bytes have left.
    void left(size_t bytes) noexcept;
    void clear() noexcept;

    bool empty() const noexcept { return first_ == parts_.size(); }
    bool may_leave(bool ready) const noexcept {
        return !empty() && (ready || parts_[first_].kind == Kind::opening);
    }
    size_t message_bytes() const noexcept { return bytes_of(Kind::message); }
    size_t answer_bytes() const noexcept { return bytes_of(Kind::answer); }

private:
    struct Part {
        void* owner;
        std::string_view bytes;  // that have not left
        Kind kind;
    };

    size_t bytes_of(Kind kind) const noexcept { return bytes_[static_cast<size_t>(kind)]; }
    size_t& bytes_of(Kind kind) noexcept { return bytes_[static_cast<size_t>(kind)]; }

    std::vector<Part> parts_;
    size_t first_ = 0;  // of parts_, that has not left
    size_t bytes_[3] = {};  // of each kind
    LetGo let_go_ = nullptr;
};

}  // namespace laplace

#endif
