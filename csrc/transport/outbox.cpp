#include "transport/outbox.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t small_size = 4 * 1024;   // of a message that is copied to others
constexpr size_t chunk_size = 16 * 1024;  // for many of them

}  // namespace

void Outbox::push(const Message& bytes, size_t begin, size_t end) noexcept {
    if (begin == end) return;
    parts_.push_back({bytes.share(), begin, end});  // there is room
    size_ += end - begin;
}

void Outbox::reserve(size_t more) {
    const size_t wanted = parts_.size() + more;
    if (wanted > parts_.capacity()) parts_.reserve(std::max(wanted, 2 * parts_.capacity()));
}

// Behind the last part, or in a part of its own.
char* Outbox::extend(size_t size) {
    const bool goes_on = !parts_.empty() && parts_.back().bytes.data() == chunk_.data() &&
                         parts_.back().end == chunk_used_ && chunk_.size() - chunk_used_ >= size;
    if (goes_on) {
        parts_.back().end += size;
        size_ += size;
    } else {
        reserve(1);
        if (chunk_.size() - chunk_used_ < size) {
            Message chunk;
            if (!chunk.allocate(std::max(chunk_size, size))) throw std::bad_alloc();
            chunk_ = std::move(chunk);
            chunk_used_ = 0;
        }
        push(chunk_, chunk_used_, chunk_used_ + size);
    }
    char* const room = chunk_.data() + chunk_used_;
    chunk_used_ += size;
    return room;
}

void Outbox::add(std::string_view bytes) {
    if (bytes.empty()) return;
    if (bytes.size() <= small_size) {
        std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
        return;
    }
    reserve(1);
    Message copy;
    if (!copy.allocate(bytes.size())) throw std::bad_alloc();
    std::memcpy(copy.data(), bytes.data(), bytes.size());
    push(copy, 0, copy.size());
}

void Outbox::add(std::string_view route, const Message& body, const std::vector<Message>& more) {
    if (more.empty() && route.size() <= small_size && body.size() <= small_size) {
        char header[zmtp::max_header];
        const auto header_size = static_cast<size_t>(zmtp::encode_header(false, body.size(), header) - header);
        char* const out = extend(route.size() + header_size + body.size());
        if (!route.empty()) std::memcpy(out, route.data(), route.size());
        std::memcpy(out + route.size(), header, header_size);
        if (body.size() > 0) std::memcpy(out + route.size() + header_size, body.data(), body.size());
        return;
    }
    reserve(2 * (1 + more.size()));
    Message headers;
    if (!headers.allocate(route.size() + (1 + more.size()) * zmtp::max_header)) throw std::bad_alloc();
    if (!route.empty()) std::memcpy(headers.data(), route.data(), route.size());
    size_t begin = 0;
    char* out = headers.data() + route.size();
    const auto add_frame = [&](const Message& frame, bool more_follow) {
        out = zmtp::encode_header(more_follow, frame.size(), out);
        const auto end = static_cast<size_t>(out - headers.data());
        push(headers, begin, end);
        push(frame, 0, frame.size());
        begin = end;
    };
    add_frame(body, !more.empty());
    for (const Message& frame : more) add_frame(frame, &frame != &more.back());
}

void Outbox::add(Message&& bytes) {
    if (bytes.size() == 0) return;
    reserve(1);
    size_ += bytes.size();
    const size_t size = bytes.size();
    parts_.push_back({std::move(bytes), 0, size});
}

// A frame's body lies behind its header, or is a part of its own.
Outbox::Front Outbox::front() const noexcept {
    const Part* part = &parts_[first_];
    const char* const at = part->bytes.data() + part->begin;
    const unsigned flags = zmtp::byte_of(at[0]);
    const bool is_long = (flags & zmtp::flag_long) != 0;
    const size_t header = is_long ? zmtp::long_header : zmtp::short_header;
    const size_t size = is_long ? static_cast<size_t>(zmtp::read_uint64(at + 1)) : zmtp::byte_of(at[1]);
    if (size == 0) return {flags, {}, nullptr, header};
    if (part->end - part->begin > header) return {flags, {at + header, size}, &part->bytes, header + size};
    ++part;
    return {flags, {part->bytes.data() + part->begin, size}, &part->bytes, header + size};
}

size_t Outbox::next(Piece (&pieces)[most_pieces], size_t most) const noexcept {
    size_t count = 0;
    for (size_t at = first_; at < parts_.size() && count < most_pieces && most > 0; ++at) {
        const Part& part = parts_[at];
        const size_t size = std::min(part.end - part.begin, most);
        pieces[count++] = {part.bytes.data() + part.begin, size};
        most -= size;
    }
    return count;
}

void Outbox::left(size_t bytes) noexcept {
    size_ -= bytes;
    if (size_ == 0) {
        clear();  // an idle connection holds no memory for what it might send
        return;
    }
    while (bytes > 0) {
        Part& part = parts_[first_];
        const size_t size = std::min(part.end - part.begin, bytes);
        part.begin += size;
        bytes -= size;
        if (part.begin == part.end) {
            part.bytes = Message();
            ++first_;
        }
    }
    constexpr size_t many = 64;
    if (first_ >= many && 2 * first_ >= parts_.size()) {
        parts_.erase(parts_.begin(), parts_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

}  // namespace laplace
