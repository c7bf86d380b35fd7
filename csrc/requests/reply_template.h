// A reply's JSON text with holes. Python's protocol module writes the texts, the
// loop only fills in what the request brought: one wire format, one source.
#ifndef LAPLACE_REPLY_TEMPLATE_H
#define LAPLACE_REPLY_TEMPLATE_H

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "transport/message.h"

namespace laplace {

// What a template leaves open; `none` at its end.
enum class Hole : unsigned { to, cmd, body, version, error, none };

// Raw JSON texts, one for each hole; unused ones stay empty.
class Fillings {
public:
    std::string_view& operator[](Hole hole) noexcept { return texts_[static_cast<size_t>(hole)]; }
    std::string_view operator[](Hole hole) const noexcept { return texts_[static_cast<size_t>(hole)]; }

private:
    std::array<std::string_view, static_cast<size_t>(Hole::none)> texts_{};
};

struct ReplyTemplate {
    struct Piece {
        std::string literal;
        Hole hole;  // what follows the literal
    };
    std::vector<Piece> pieces;

    [[nodiscard]] bool render(const Fillings& fillings, Message& reply) const noexcept {
        size_t size = 0;
        for (const Piece& piece : pieces) {
            size += piece.literal.size();
            if (piece.hole != Hole::none) size += fillings[piece.hole].size();
        }
        if (!reply.allocate(size)) return false;
        char* out = reply.data();
        for (const Piece& piece : pieces) {
            out = append(out, piece.literal);
            if (piece.hole != Hole::none) out = append(out, fillings[piece.hole]);
        }
        return true;
    }

private:
    static char* append(char* out, std::string_view text) noexcept {
        if (!text.empty()) std::memcpy(out, text.data(), text.size());
        return out + text.size();
    }
};

}  // namespace laplace

#endif
