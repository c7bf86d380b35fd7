// A stream's last updates, shared by all its subscribers: publishers append, from any thread, and
// the loop reads. Knows nothing of Python and of sockets.
#ifndef LAPLACE_STREAM_H
#define LAPLACE_STREAM_H

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "transport/message.h"

namespace laplace {

// Updates that follow one another by number. One publisher at a time appends; what `count`
// counts never changes any more, so that readers need no lock. An update that is large, or has
// arrays, is a block by itself.
class Block {
public:
    // Throws std::bad_alloc.
    Block(uint64_t first, uint32_t updates, uint32_t text_bytes);
    Block(uint64_t first, uint32_t text_bytes, std::vector<Message>&& arrays);

    uint64_t first() const noexcept { return first_; }
    uint32_t count() const noexcept { return count_.load(std::memory_order_acquire); }
    // What it holds of memory, whether it is full or not.
    size_t bytes() const noexcept { return bytes_; }
    static size_t bytes_of(size_t updates, size_t text_bytes, const std::vector<Message>& arrays) noexcept;
    // When the updates from the one at `index` on were acquired, seconds since 1970.
    const double* times(uint32_t index) const noexcept { return times_.get() + index; }
    // JSON texts of the updates at [begin, end), a comma between two. begin < end <= count().
    std::string_view texts(uint32_t begin, uint32_t end) const noexcept;
    // Whether one of the texts is not strict JSON; asked after count().
    bool loose() const noexcept { return loose_.load(std::memory_order_relaxed); }
    // What goes with the text of an update that is a block by itself.
    const std::vector<Message>& arrays() const noexcept { return arrays_; }

private:
    friend class Stream;
    bool has_room(size_t text_bytes) const noexcept;
    void append(std::string_view text, bool loose, double time) noexcept;
    uint32_t end_of(uint32_t count) const noexcept { return count == 0 ? 0 : ends_[count - 1]; }

    const uint64_t first_;
    const uint32_t updates_, text_bytes_;
    std::unique_ptr<char[]> text_;
    std::unique_ptr<uint32_t[]> ends_;  // of each text, behind its comma
    std::unique_ptr<double[]> times_;
    std::vector<Message> arrays_;
    size_t bytes_;
    std::atomic<bool> loose_{false};
    std::atomic<uint32_t> count_{0};
};

// Sequence numbers of the updates there are; last == first - 1 where there is none. Between them those are
// missing that were left out, and behind `newest` those that were lost where the stream ended.
struct Range {
    uint64_t first = 1;
    uint64_t last = 0;
    uint64_t newest = 0;
};

// How much of the past is kept. The last update is, whatever its size.
struct History {
    size_t bytes = size_t{64} << 20;  // memory of the blocks
    uint64_t updates = UINT64_MAX;
    bool block = false;  // publishers wait for subscribers rather than lose what they have not been sent
};

// Number of the next update that a subscriber will be sent; the loop writes it.
using Cursor = std::shared_ptr<Counter>;

class Stream {
public:
    // JSON text of one update, at most; 32 bits count the bytes of a block.
    static constexpr size_t largest_text = size_t{1} << 30;

    // `first`, which is not 0, is the number of the first update.
    explicit Stream(History history, uint64_t first = 1) noexcept;

    // Adds an update and returns its number, one more than the last. `text` is a JSON object of at most
    // largest_text bytes, `loose` where that is not strict JSON. Where it is not added, nothing has
    // changed: `sealed` is returned after seal(); `would_cost` where publishers wait and somebody
    // would lose what he has not been sent: wait_for_subscribers() and try again. Throws std::bad_alloc.
    // `lost_before` numbers right before it go to nobody, and who follows is told that they are lost;
    // they are few enough for 64 bits.
    uint64_t append(std::string_view text, bool loose, double time, std::vector<Message>& arrays,
                    uint64_t lost_before = 0);
    static constexpr uint64_t would_cost = 0, sealed = UINT64_MAX;
    // Waits until an update like this one costs nobody anything; false where it does still.
    bool wait_for_subscribers(size_t text_bytes, const std::vector<Message>& arrays,
                            std::chrono::steady_clock::time_point until, uint64_t lost_before = 0) noexcept;
    // Those to whom it does are not waited for any more. Throws std::bad_alloc.
    std::vector<Cursor> give_up(size_t text_bytes, const std::vector<Message>& arrays, uint64_t lost_before = 0);
    // The last update is there.
    void seal() noexcept;
    // It is, and so many numbers behind it are lost; where not `says_so`, who follows is not told of the end, as
    // if the server had died of it. Does nothing where it was sealed before.
    void finish(uint64_t lost, bool says_so) noexcept;
    bool says_its_end() noexcept;
    void set_history(History history) noexcept;
    // Whether publishers wait for subscribers.
    bool blocks() noexcept;
    Range range() noexcept;
    size_t bytes() noexcept;
    // The block that holds an update, or the next one where its number was left out; null where it is not
    // there yet, or not any more.
    std::shared_ptr<Block> block_of(uint64_t number) noexcept;

    // Somebody to wait for, until he leaves. Throws std::bad_alloc.
    void join(const Cursor& cursor);
    void leave(const Cursor& cursor) noexcept;
    // A cursor has moved.
    void advanced() noexcept;

    // The loop has sent what there is, and can send more: it looks once more for new updates after
    // saying so, and sleeps.
    void ask_for_word() noexcept { word_wanted_.store(true); }
    // Whether a publisher that has appended is to wake the loop; true once for each time it asks.
    bool word_is_wanted() noexcept { return word_wanted_.load() && word_wanted_.exchange(false); }

private:
    // What the next update needs: a block of its own, a new one, or room in the last.
    struct Need {
        bool fresh, alone;
        size_t text_bytes, bytes;  // of the new block
    };
    // What is kept when all of `bytes` more come, and the updates up to `last` are there.
    struct Cut {
        size_t blocks;  // that go
        uint64_t gone;
    };
    Need need_of(size_t text_bytes, const std::vector<Message>& arrays, uint64_t lost_before) const noexcept;
    Cut cut_for(const Need& need, uint64_t last) const noexcept;
    bool costs(const Cursor& cursor, const Cut& cut) const noexcept;
    // That which holds an update, or else the next one.
    std::deque<std::shared_ptr<Block>>::const_iterator block_from(uint64_t number) const noexcept;
    bool costs_anybody(size_t text_bytes, const std::vector<Message>& arrays, uint64_t lost_before) const noexcept;
    void forget(const Cut& cut) noexcept;

    std::mutex mutex_;
    std::condition_variable moved_;
    std::atomic<unsigned> publishers_waiting_{0};
    std::atomic<bool> word_wanted_{false};
    std::vector<Cursor> subscribers_;
    History history_;
    size_t small_text_;
    std::deque<std::shared_ptr<Block>> blocks_;
    size_t bytes_ = 0;
    uint64_t last_;
    uint64_t gone_;  // the last one that is not there any more
    uint64_t lost_behind_ = 0;  // the last update: so many numbers, up to last_
    bool sealed_ = false;
    bool says_its_end_ = true;
};

}  // namespace laplace

#endif
