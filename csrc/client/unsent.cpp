#include "client/unsent.h"

#include <algorithm>

namespace laplace {

void Unsent::reserve(size_t pieces) {
    const size_t wanted = parts_.size() + pieces;
    if (wanted > parts_.capacity()) parts_.reserve(std::max(wanted, 2 * parts_.capacity()));
}

void Unsent::add(void* owner, std::string_view bytes, Kind kind) noexcept {
    parts_.push_back({owner, bytes, kind});
    bytes_of(kind) += bytes.size();
}

size_t Unsent::next(Piece (&pieces)[most_pieces], bool ready) const noexcept {
    size_t count = 0, most = most_at_once;
    for (size_t at = first_; at < parts_.size() && count < most_pieces && most > 0; ++at) {
        if (!ready && parts_[at].kind != Kind::opening) break;
        const std::string_view bytes = parts_[at].bytes.substr(0, most);
        pieces[count++] = {bytes.data(), bytes.size()};
        most -= bytes.size();
    }
    return count;
}

void Unsent::left(size_t bytes) noexcept {
    while (bytes > 0 && !empty()) {
        Part& part = parts_[first_];
        const size_t size = std::min(part.bytes.size(), bytes);
        part.bytes.remove_prefix(size);
        bytes -= size;
        bytes_of(part.kind) -= size;
        if (!part.bytes.empty()) return;
        ++first_;
        let_go_(part.owner);
    }
    constexpr size_t many = 64;
    if (empty()) {
        clear();
    } else if (first_ >= many && 2 * first_ >= parts_.size()) {
        parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

void Unsent::clear() noexcept {
    for (; first_ < parts_.size(); ++first_) let_go_(parts_[first_].owner);
    first_ = 0;
    for (size_t& bytes : bytes_) bytes = 0;
    std::vector<Part>().swap(parts_);  // an idle connection holds no memory for what it might send
}

}  // namespace laplace
