// What the program's threads do with streams. Where the loop has asked for a word, it is woken, or a small
// update is sent in its place.
#ifndef LAPLACE_PUBLISHER_H
#define LAPLACE_PUBLISHER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/loop.h"
#include "server/shared.h"

namespace laplace {

class Publisher {
public:
    explicit Publisher(Shared& shared) noexcept : shared_(shared) {}
    Publisher(const Publisher&) = delete;
    Publisher& operator=(const Publisher&) = delete;

    // See Streams::declare(). Throws std::bad_alloc, as what follows does.
    std::shared_ptr<Stream> declare(const std::string& name, const std::string& json, History history, bool change,
                                    uint64_t first) {
        return shared_.streams.declare(name, json, history, change, first);
    }
    // See Stream::finish(); who follows is told at once what is lost.
    void finish(Stream& stream, uint64_t lost, bool says_so) noexcept {
        stream.finish(lost, says_so);
        shared_.wake();
    }
    // See Stream::append().
    uint64_t append(Stream& stream, std::string_view text, bool loose, double time, std::vector<Message>& arrays,
                    uint64_t lost_before) {
        const bool small = arrays.empty() && text.size() <= DirectSends::most_bytes;
        const uint64_t number = stream.append(text, loose, time, arrays, lost_before);
        if (number != Stream::would_cost && number != Stream::sealed && stream.word_is_wanted()) say(stream, small);
        return number;
    }
    // Whoever would lose by such an update is not waited for any more; their ledgers.
    std::vector<std::shared_ptr<Ledger>> give_up(Stream& stream, size_t text_bytes,
                                                 const std::vector<Message>& arrays, uint64_t lost_before) {
        return shared_.streams.give_up(stream.give_up(text_bytes, arrays, lost_before));
    }
    // See Streams::answering().
    size_t answering() noexcept { return shared_.streams.answering(); }
    std::shared_ptr<void> place() { return shared_.streams.place(); }
    // Of all subscribers.
    std::vector<std::shared_ptr<Ledger>> ledgers() { return shared_.streams.ledgers(); }

private:
    // There is an update of it.
    void say(Stream& stream, bool small) noexcept {
        if (small && shared_.wake_up.turn.try_borrow()) {
            const InPlace in_place = shared_.loop->send_update(stream);
            shared_.wake_up.turn.give_back();
            if (in_place == InPlace::done) return;
        }
        shared_.wake();
    }

    Shared& shared_;
};

}  // namespace laplace

#endif
