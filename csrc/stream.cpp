#include "stream.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

namespace laplace {

namespace {

constexpr size_t least_block = 1024, largest_block = 64 * 1024;  // bytes of text
constexpr size_t blocks_in_history = 16;  // or more, so that little is forgotten at a time
constexpr size_t alone_part = 4;          // a text of a quarter of a block is one by itself
constexpr size_t typical_text = 32;       // bytes; updates that are shorter fill a block early

}  // namespace

Block::Block(uint64_t first, uint32_t updates, uint32_t text_bytes)
    : first_(first),
      updates_(updates),
      text_bytes_(text_bytes),
      text_(new char[text_bytes]),
      ends_(new uint32_t[updates]),
      times_(new double[updates]),
      bytes_(sizeof(Block) + text_bytes + updates * (sizeof(uint32_t) + sizeof(double))) {}

Block::Block(uint64_t first, uint32_t text_bytes, std::vector<Message>&& arrays) : Block(first, 1, text_bytes) {
    arrays_ = std::move(arrays);
    for (const Message& array : arrays_) bytes_ += sizeof array + array.size();
}

std::string_view Block::texts(uint32_t begin, uint32_t end) const noexcept {
    const uint32_t from = end_of(begin);
    return {text_.get() + from, end_of(end) - 1 - from};
}

bool Block::has_room(size_t text_bytes) const noexcept {
    const uint32_t count = count_.load(std::memory_order_relaxed);
    return count < updates_ && text_bytes < text_bytes_ - end_of(count);  // and a comma
}

void Block::append(std::string_view text, double time) noexcept {
    const uint32_t count = count_.load(std::memory_order_relaxed);
    const uint32_t begin = end_of(count);
    const uint32_t end = begin + static_cast<uint32_t>(text.size());
    std::memcpy(text_.get() + begin, text.data(), text.size());
    text_[end] = ',';
    ends_[count] = end + 1;
    times_[count] = time;
    count_.store(count + 1, std::memory_order_release);
}

uint64_t Stream::append(std::string_view text, double time, std::vector<Message>&& arrays) {
    const std::lock_guard<std::mutex> lock(mutex_);
    block_for(text, std::move(arrays)).append(text, time);
    ++last_;
    forget_oldest();
    return last_;
}

// The block that the next update goes into.
Block& Stream::block_for(std::string_view text, std::vector<Message>&& arrays) {
    const size_t usual = std::clamp(history_.bytes / blocks_in_history, least_block, largest_block);
    const bool alone = !arrays.empty() || text.size() >= usual / alone_part;
    if (!alone && !blocks_.empty() && blocks_.back()->has_room(text.size())) return *blocks_.back();
    const auto size = static_cast<uint32_t>(alone ? text.size() + 1 : usual);
    const auto updates = static_cast<uint32_t>(usual / typical_text);
    blocks_.push_back(alone ? std::make_shared<Block>(last_ + 1, size, std::move(arrays))
                            : std::make_shared<Block>(last_ + 1, updates, size));
    bytes_ += blocks_.back()->bytes();
    return *blocks_.back();
}

void Stream::forget_oldest() noexcept {
    const uint64_t kept = std::clamp<uint64_t>(history_.updates, 1, std::max<uint64_t>(last_, 1));
    // Within a block nothing is freed, but what is too much is not there any more.
    gone_ = std::max(gone_, last_ - std::min(kept, last_));
    while (blocks_.size() > 1) {
        const uint64_t next = blocks_[1]->first();
        if (bytes_ <= history_.bytes && next > gone_ + 1) break;
        bytes_ -= blocks_.front()->bytes();
        blocks_.pop_front();
        gone_ = std::max(gone_, next - 1);
    }
}

void Stream::set_history(History history) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    history_ = history;
    forget_oldest();
}

Range Stream::range() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {gone_ + 1, last_};
}

size_t Stream::bytes() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
}

std::shared_ptr<Block> Stream::block_of(uint64_t number) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (number <= gone_ || number > last_) return nullptr;
    const auto behind = std::upper_bound(
        blocks_.begin(), blocks_.end(), number,
        [](uint64_t wanted, const std::shared_ptr<Block>& block) { return wanted < block->first(); });
    return *std::prev(behind);
}

}  // namespace laplace
