#include "streams/stream.h"

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

size_t usual_block(const History& history) noexcept {
    return std::clamp(history.bytes / blocks_in_history, least_block, largest_block);
}

// Shorter texts need no more than room in the last block, where their number is not limited.
size_t small_text_of(const History& history) noexcept {
    return history.updates == UINT64_MAX ? usual_block(history) / alone_part : 0;
}

}  // namespace

Block::Block(uint64_t first, uint32_t updates, uint32_t text_bytes)
    : first_(first),
      updates_(updates),
      text_bytes_(text_bytes),
      text_(new char[text_bytes]),
      ends_(new uint32_t[updates]),
      times_(new double[updates]),
      bytes_(bytes_of(updates, text_bytes, {})) {}

Block::Block(uint64_t first, uint32_t text_bytes, std::vector<Message>&& arrays) : Block(first, 1, text_bytes) {
    arrays_ = std::move(arrays);
    bytes_ = bytes_of(1, text_bytes, arrays_);
}

size_t Block::bytes_of(size_t updates, size_t text_bytes, const std::vector<Message>& arrays) noexcept {
    size_t bytes = sizeof(Block) + text_bytes + updates * (sizeof(uint32_t) + sizeof(double));
    for (const Message& array : arrays) bytes += sizeof array + array.size();
    return bytes;
}

std::string_view Block::texts(uint32_t begin, uint32_t end) const noexcept {
    const uint32_t from = end_of(begin);
    return {text_.get() + from, end_of(end) - 1 - from};
}

bool Block::has_room(size_t text_bytes) const noexcept {
    const uint32_t count = count_.load(std::memory_order_relaxed);
    return count < updates_ && text_bytes < text_bytes_ - end_of(count);  // and a comma
}

void Block::append(std::string_view text, bool loose, double time) noexcept {
    const uint32_t count = count_.load(std::memory_order_relaxed);
    const uint32_t begin = end_of(count);
    const uint32_t end = begin + static_cast<uint32_t>(text.size());
    std::memcpy(text_.get() + begin, text.data(), text.size());
    text_[end] = ',';
    ends_[count] = end + 1;
    times_[count] = time;
    if (loose) loose_.store(true, std::memory_order_relaxed);
    count_.store(count + 1, std::memory_order_release);
}

Stream::Stream(History history, uint64_t first) noexcept
    : history_(history), small_text_(small_text_of(history)), last_(first - 1), gone_(first - 1) {}

uint64_t Stream::append(std::string_view text, bool loose, double time, std::vector<Message>& arrays,
                        uint64_t lost_before) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (sealed_) return sealed;
    if (arrays.empty() && text.size() < small_text_ && lost_before == 0 && !blocks_.empty() &&
        blocks_.back()->has_room(text.size())) {
        blocks_.back()->append(text, loose, time);  // most often; nothing has to go for it
        return ++last_;
    }
    const uint64_t number = last_ + lost_before + 1;
    const Need need = need_of(text.size(), arrays, lost_before);
    if (history_.block && costs_anybody(text.size(), arrays, lost_before)) return would_cost;
    if (need.fresh) {
        const auto size = static_cast<uint32_t>(need.text_bytes);
        const auto updates = static_cast<uint32_t>(need.text_bytes / typical_text);
        blocks_.push_back(need.alone ? std::make_shared<Block>(number, size, std::move(arrays))
                                     : std::make_shared<Block>(number, updates, size));
        bytes_ += blocks_.back()->bytes();
    }
    blocks_.back()->append(text, loose, time);
    last_ = number;
    forget(cut_for(Need{}, last_));
    return last_;
}

Stream::Need Stream::need_of(size_t text_bytes, const std::vector<Message>& arrays,
                             uint64_t lost_before) const noexcept {
    const size_t usual = usual_block(history_);
    Need need{};
    need.alone = !arrays.empty() || text_bytes >= usual / alone_part;
    need.fresh = need.alone || lost_before > 0 || blocks_.empty() || !blocks_.back()->has_room(text_bytes);
    need.text_bytes = need.alone ? text_bytes + 1 : usual;
    if (need.fresh) need.bytes = Block::bytes_of(need.alone ? 1 : usual / typical_text, need.text_bytes, arrays);
    return need;
}

// Which blocks go when this comes too. Within a block nothing is freed, but what is too much is not
// there any more.
Stream::Cut Stream::cut_for(const Need& need, uint64_t last) const noexcept {
    const uint64_t kept = std::clamp<uint64_t>(history_.updates, 1, std::max<uint64_t>(last, 1));
    Cut cut{0, std::max(gone_, last - std::min(kept, last))};
    size_t bytes = bytes_ + need.bytes;
    const size_t blocks = blocks_.size() + (need.fresh ? 1 : 0);
    while (cut.blocks + 1 < blocks) {
        const size_t next = cut.blocks + 1;
        const uint64_t first = next < blocks_.size() ? blocks_[next]->first() : last_ + 1;
        if (bytes <= history_.bytes && first > cut.gone + 1) break;
        bytes -= blocks_[cut.blocks]->bytes();
        cut.gone = std::max(cut.gone, first - 1);
        ++cut.blocks;
    }
    return cut;
}

void Stream::forget(const Cut& cut) noexcept {
    for (size_t i = 0; i < cut.blocks; ++i) {
        bytes_ -= blocks_.front()->bytes();
        blocks_.pop_front();
    }
    gone_ = cut.gone;
}

void Stream::set_history(History history) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    history_ = history;
    small_text_ = small_text_of(history);
    forget(cut_for(Need{}, last_ - lost_behind_));
    moved_.notify_all();
}

// ---- subscribers

// Whether an update goes that he could have been sent still.
bool Stream::costs(const Cursor& cursor, const Cut& cut) const noexcept {
    if (cut.gone <= gone_) return false;
    const uint64_t next = std::max<uint64_t>(cursor->load(), gone_ + 1);
    const auto block = block_from(next);  // numbers that were left out cost nothing
    return block != blocks_.end() && std::max(next, (*block)->first()) <= cut.gone;
}

bool Stream::costs_anybody(size_t text_bytes, const std::vector<Message>& arrays,
                           uint64_t lost_before) const noexcept {
    if (subscribers_.empty()) return false;
    const Cut cut = cut_for(need_of(text_bytes, arrays, lost_before), last_ + lost_before + 1);
    return std::any_of(subscribers_.begin(), subscribers_.end(),
                       [&](const Cursor& cursor) { return costs(cursor, cut); });
}

bool Stream::wait_for_subscribers(size_t text_bytes, const std::vector<Message>& arrays,
                                std::chrono::steady_clock::time_point until, uint64_t lost_before) noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    // First: who moves from now on sees that somebody waits.
    publishers_waiting_.fetch_add(1);
    const bool in_time = moved_.wait_until(
        lock, until, [&] { return sealed_ || !history_.block || !costs_anybody(text_bytes, arrays, lost_before); });
    publishers_waiting_.fetch_sub(1);
    return in_time;
}

std::vector<Cursor> Stream::give_up(size_t text_bytes, const std::vector<Message>& arrays,
                                    uint64_t lost_before) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Cut cut = cut_for(need_of(text_bytes, arrays, lost_before), last_ + lost_before + 1);
    std::vector<Cursor> given_up;
    given_up.reserve(subscribers_.size());
    for (const Cursor& cursor : subscribers_) {
        if (costs(cursor, cut)) given_up.push_back(cursor);
    }
    const auto is_given_up = [&](const Cursor& cursor) {
        return std::find(given_up.begin(), given_up.end(), cursor) != given_up.end();
    };
    subscribers_.erase(std::remove_if(subscribers_.begin(), subscribers_.end(), is_given_up), subscribers_.end());
    return given_up;
}

void Stream::seal() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    sealed_ = true;
    moved_.notify_all();
}

void Stream::finish(uint64_t lost, bool says_so) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (sealed_) return;
    sealed_ = true;
    lost_behind_ = lost;
    last_ += lost;
    says_its_end_ = says_so;
    moved_.notify_all();
}

bool Stream::says_its_end() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return says_its_end_;
}

void Stream::join(const Cursor& cursor) {
    const std::lock_guard<std::mutex> lock(mutex_);
    subscribers_.push_back(cursor);
}

void Stream::leave(const Cursor& cursor) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    subscribers_.erase(std::remove(subscribers_.begin(), subscribers_.end(), cursor), subscribers_.end());
    moved_.notify_all();
}

void Stream::advanced() noexcept {
    if (publishers_waiting_.load() == 0) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    moved_.notify_all();
}

bool Stream::blocks() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return history_.block;
}

Range Stream::range() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {gone_ + 1, last_, last_ - lost_behind_};
}

size_t Stream::bytes() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return bytes_;
}

std::shared_ptr<Block> Stream::block_of(uint64_t number) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (number <= gone_ || number > last_) return nullptr;
    const auto found = block_from(number);
    return found == blocks_.end() ? nullptr : *found;
}

std::deque<std::shared_ptr<Block>>::const_iterator Stream::block_from(uint64_t number) const noexcept {
    const auto behind = std::upper_bound(
        blocks_.begin(), blocks_.end(), number,
        [](uint64_t wanted, const std::shared_ptr<Block>& block) { return wanted < block->first(); });
    if (behind == blocks_.begin()) return behind;
    const auto before = std::prev(behind);
    return number - (*before)->first() < (*before)->count() ? before : behind;
}

}  // namespace laplace
