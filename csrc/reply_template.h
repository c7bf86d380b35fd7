// A reply's JSON text with holes. Python's protocol module writes the texts, the
// loop only fills in what the request brought: one wire format, one source.
#ifndef LAPLACE_REPLY_TEMPLATE_H
#define LAPLACE_REPLY_TEMPLATE_H

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "message.h"

namespace laplace {

enum hole { HOLE_TO, HOLE_CMD, HOLE_BODY, HOLE_VERSION, HOLE_ERROR, HOLE_COUNT };

// Raw JSON texts, one for each hole; unused ones stay empty.
using Fillings = std::array<std::string_view, HOLE_COUNT>;

struct ReplyTemplate {
    struct Piece {
        std::string literal;
        int hole;  // what follows the literal, or HOLE_COUNT for nothing
    };
    std::vector<Piece> pieces;

    [[nodiscard]] bool render(const Fillings& fillings, Message& reply) const noexcept {
        size_t size = 0;
        for (const Piece& piece : pieces) {
            size += piece.literal.size();
            if (piece.hole < HOLE_COUNT) size += fillings[static_cast<size_t>(piece.hole)].size();
        }
        if (!reply.allocate(size)) return false;
        char* out = reply.data();
        for (const Piece& piece : pieces) {
            out = append(out, piece.literal);
            if (piece.hole < HOLE_COUNT) out = append(out, fillings[static_cast<size_t>(piece.hole)]);
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
