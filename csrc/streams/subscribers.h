// The streams of a server, and what its subscribers have been sent of them.
#ifndef LAPLACE_SUBSCRIBERS_H
#define LAPLACE_SUBSCRIBERS_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/roles.h"
#include "streams/stream.h"

namespace laplace {

// Subscriptions of a server. Where there are as many, silent ones make room for new ones.
constexpr size_t max_subscriptions = 1024;

// What one subscriber was sent and was not. Written by whoever has the turn.
struct Ledger {
    std::string stream;
    std::string who;  // the name the client gave itself, JSON text
    std::string host;  // where it is, without a port
    uint32_t key = no_key;
    Counter first{0};      // number it began with
    Counter sent{0};       // updates
    Counter lost{0};       // updates that were gone before it could take them
    Counter next{0};       // number of the next update to send
    Counter confirmed{0};  // number of the update the client waits for, as it said last
    Counter messages{0}, bytes{0};                  // sent
    Counter allowed_messages{0}, allowed_bytes{0};  // its credit, counted from the begin
    std::atomic<bool> waited_for{false};  // whether publishers wait for it, where the stream says so
    std::atomic<bool> silent{false};      // it has not answered for a while, and may be dead
};

// What a SUBSCRIBE that Python has granted asks the loop for.
struct Grant {
    std::shared_ptr<Stream> stream;  // null: none asked for
    std::shared_ptr<Ledger> ledger;
    std::shared_ptr<void> place;  // counts it until it has begun, or has not
    uint32_t id = 0;
    bool latest_only = false;
    // The part of the ledger that the stream looks at.
    Cursor cursor() const noexcept { return Cursor(ledger, &ledger->next); }
};

// The streams of a server by name, and the ledgers of their subscribers.
class Streams {
public:
    // The stream of that name, made with this history and first number where there is none; with `change`, one
    // that is there gets the history, too. `json` is the name as JSON.
    std::shared_ptr<Stream> declare(const std::string& name, const std::string& json, History history, bool change,
                                    uint64_t first = 1) {
        const std::lock_guard<std::mutex> lock(mutex_);
        Named& named = streams_[name];
        if (named.stream == nullptr) {
            named = {json, std::make_shared<Stream>(history, first)};
            if (sealed_) named.stream->seal();
        } else if (change) {
            named.stream->set_history(history);
        }
        any.store(true);
        return named.stream;
    }
    // The server ends: nothing is published any more, so that what is told as the last number is it.
    void seal() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        sealed_ = true;
        for (auto& each : streams_) each.second.stream->seal();
    }
    // There is no loop that could send.
    void forget_all() noexcept {
        seal();
        const std::lock_guard<std::mutex> lock(mutex_);
        ledgers_.clear();
    }
    // Members for the payload of INFO: the epoch, and each stream's range.
    std::string described(uint64_t epoch) {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::string text = "\"epoch\":" + std::to_string(epoch) + ",\"streams\":{";
        for (const auto& each : streams_) {
            const Range range = each.second.stream->range();
            if (text.back() != '{') text += ',';
            text += each.second.json + ":{\"first\":" + std::to_string(range.first) +
                    ",\"last\":" + std::to_string(range.last) + '}';
        }
        return text + '}';
    }
    // Throws std::bad_alloc; then nothing has changed.
    void enter(const Grant& grant) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ledgers_.push_back(grant.ledger);
        if (grant.latest_only) return;
        try {
            grant.stream->join(grant.cursor());
        } catch (const std::bad_alloc&) {
            ledgers_.pop_back();
            throw;
        }
        grant.ledger->waited_for.store(true);
    }
    void leave(const Grant& grant) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        ledgers_.erase(std::remove(ledgers_.begin(), ledgers_.end(), grant.ledger), ledgers_.end());
        grant.stream->leave(grant.cursor());
    }
    // Subscribers that are not silent, those included that have been granted a subscription.
    size_t answering() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto begun = std::count_if(ledgers_.begin(), ledgers_.end(),
                                         [](const auto& ledger) { return !ledger->silent.load(); });
        return static_cast<size_t>(begun) + granted_->load();
    }
    // A place for a subscription that has been granted and has not begun. Throws std::bad_alloc.
    std::shared_ptr<void> place() {
        granted_->fetch_add(1);
        const auto give_back = [granted = granted_](void*) { granted->fetch_sub(1); };
        return std::shared_ptr<void>(static_cast<void*>(granted_.get()), give_back);
    }
    std::vector<std::shared_ptr<Ledger>> ledgers() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return ledgers_;
    }
    // Those whose cursors these are; they are not waited for any more.
    std::vector<std::shared_ptr<Ledger>> give_up(const std::vector<Cursor>& cursors) {
        std::vector<std::shared_ptr<Ledger>> given_up;
        for (const std::shared_ptr<Ledger>& ledger : ledgers()) {
            const auto is_its = [&ledger](const Cursor& cursor) { return cursor.get() == &ledger->next; };
            if (std::none_of(cursors.begin(), cursors.end(), is_its)) continue;
            ledger->waited_for.store(false);
            given_up.push_back(ledger);
        }
        return given_up;
    }
    std::atomic<bool> any{false};  // whether there is a stream

private:
    struct Named {
        std::string json;
        std::shared_ptr<Stream> stream;
    };
    std::mutex mutex_;
    std::map<std::string, Named> streams_;
    bool sealed_ = false;
    const std::shared_ptr<std::atomic<size_t>> granted_ = std::make_shared<std::atomic<size_t>>(0);
    std::vector<std::shared_ptr<Ledger>> ledgers_;
};

}  // namespace laplace

#endif
