// What subscribers were sent, counted a second time from the messages alone: what a target compares the
// ledgers with.
#ifndef LAPLACE_TESTS_FUZZ_SUBSCRIBER_ACCOUNTS_H
#define LAPLACE_TESTS_FUZZ_SUBSCRIBER_ACCOUNTS_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/streams_bench.h"

namespace subscriber_accounts {

using namespace streams_bench;
using Demand = void (*)(bool holds, const char* what);

// All that was published of a stream.
struct Published {
    struct Update {
        std::string text;
        double time;
        Frames arrays;
        bool loose;
        bool is_left_out = false;  // a number without an update
    };
    std::shared_ptr<Stream> stream;
    History history;
    std::vector<Update> updates;  // from number 1 on
    uint64_t begin = 1;  // number of the first, before which all are left out
    bool is_finished = false, says_so = true;

    const Update& at(uint64_t number) const { return updates[static_cast<size_t>(number - 1)]; }
    // Number of the last one that is none that was left out; one before the first where there is none.
    uint64_t newest() const {
        uint64_t number = updates.size();
        while (number >= begin && at(number).is_left_out) --number;
        return number;
    }
    // How many there were from one number to before another.
    uint64_t between(uint64_t first, uint64_t end) const {
        uint64_t count = 0;
        for (; first < end; ++first) count += at(first).is_left_out ? 0 : 1;
        return count;
    }
};

// One subscription.
class Account {
public:
    Account(const Published& published, const Grant& grant)
        : ledger(grant.ledger),
          published_(&published),
          latest_only_(grant.latest_only),
          first_(ledger->next),
          position_(first_),
          lost_before_(published.between(first_, published.stream->range().first)),
          most_messages_(ledger->allowed_messages),
          most_bytes_(ledger->allowed_bytes) {}

    void allow(uint64_t messages, uint64_t bytes) {
        most_messages_ = std::max(most_messages_, messages);
        most_bytes_ = std::max(most_bytes_, bytes);
    }

    // A message to it. Its frames are those behind the route.
    void take(const StreamHeader& header, std::string_view head, const std::vector<Message>& arrays, Demand demand) {
        switch (header.kind) {
            case StreamKind::updates:
            case StreamKind::loose: return take_updates(header, head, arrays, demand);
            case StreamKind::alive:
            case StreamKind::end:
                demand(header.first == position_, "a word tells of another place");
                demand(header.last == published_->updates.size(), "a word tells of another end");
                is_ended = header.kind == StreamKind::end;
                demand(!is_ended || published_->says_so, "an end is told that was to be none");
                break;
            case StreamKind::unknown: break;
            default: demand(false, "a server sends what only clients do");
        }
        demand(header.count == 0 && head.size() == sizeof header && arrays.empty(), "a word has updates");
        if (header.kind == StreamKind::unknown) return;
        demand(header.sent_in_all == sent_ && header.lost_in_all == lost_, "a word counts otherwise");
    }

    // While it is there.
    void compare(Demand demand) const {
        demand(ledger->sent == sent_ && ledger->lost == lost_ && ledger->next == position_ &&
                   ledger->messages == messages_ && ledger->bytes == bytes_,
               "the ledger counts otherwise");
        demand(position_ - first_ == sent_ + lost_, "what was sent and lost is not all");
    }
    bool has_all() const { return position_ > published_->newest(); }
    const Published& published() const { return *published_; }
    // Without the numbers of no update, which are told as lost.
    uint64_t lost_updates() const { return lost_updates_; }
    // What was gone when it began; all of it is lost with the first that it is sent.
    uint64_t lost_before() const { return position_ == first_ ? 0 : lost_before_; }

    const std::shared_ptr<Ledger> ledger;
    bool is_ended = false;

private:
    void take_updates(const StreamHeader& header, std::string_view head, const std::vector<Message>& arrays,
                      Demand demand) {
        const uint64_t first = header.first, end = first + header.count;
        demand(header.count > 0 && end - 1 <= published_->updates.size(), "updates that there never were");
        demand(first >= position_ && header.lost == first - position_, "updates are missing, or come again");
        demand(header.last >= end - 1 && header.last <= published_->updates.size(), "it tells of another end");
        demand(!latest_only_ || header.count == 1, "more than the latest");
        demand(messages_ < most_messages_ && bytes_ < most_bytes_, "more than its credit");
        std::string text = "[";
        bool loose = false;
        for (uint64_t number = first; number < end; ++number) {
            const Published::Update& update = published_->at(number);
            demand(!update.is_left_out, "a number that was left out has an update");
            text += (number == first ? "" : ",") + update.text;
            loose = loose || update.loose;
        }
        text += ']';
        const size_t times = header.count * sizeof(double);
        demand(head.size() == sizeof header + times + text.size(), "it is of another size");
        demand(head.substr(sizeof header + times) == text, "the texts are others");
        demand(!loose || header.kind == StreamKind::loose, "it is said to be strict JSON");
        for (uint64_t number = first; number < end; ++number) {
            double time = 0;
            std::memcpy(&time, head.data() + sizeof header + (number - first) * sizeof time, sizeof time);
            demand(time == published_->at(number).time, "a time is another");
        }
        const Frames& frames = published_->at(first).arrays;
        demand(header.arrays == arrays.size() && (header.count == 1 || frames.empty()), "arrays of several");
        demand(std::equal(arrays.begin(), arrays.end(), frames.begin(), frames.end(),
                          [](const Message& sent, const std::string& frame) { return sent.view() == frame; }),
               "the arrays are others");
        lost_updates_ += published_->between(position_, first);
        position_ = end;
        sent_ += header.count;
        lost_ += header.lost;
        messages_ += 1;
        bytes_ += head.size() + size_of(arrays.data(), arrays.size());
        demand(header.sent_in_all == sent_ && header.lost_in_all == lost_, "it counts otherwise");
    }

    const Published* published_;
    const bool latest_only_;
    const uint64_t first_;
    uint64_t position_;
    const uint64_t lost_before_;
    uint64_t sent_ = 0, lost_ = 0, lost_updates_ = 0, messages_ = 0, bytes_ = 0;
    uint64_t most_messages_, most_bytes_;
};

}  // namespace subscriber_accounts

#endif
