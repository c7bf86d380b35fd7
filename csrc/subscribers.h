// Who follows which stream, and how far. The loop's, but for the ledgers, which others may read.
#ifndef LAPLACE_SUBSCRIBERS_H
#define LAPLACE_SUBSCRIBERS_H

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "counters.h"
#include "message.h"
#include "stream.h"

namespace laplace {

// What one subscriber was sent and was not. Written by the loop alone.
struct Ledger {
    std::string stream;
    std::string who;  // the name the client gave itself, JSON text
    Counter first{0};      // number it began with
    Counter sent{0};       // updates
    Counter lost{0};       // updates that were gone before it could take them
    Counter next{0};       // number of the next update to send
    Counter confirmed{0};  // number of the update the client waits for, as it said last
    Counter messages{0}, bytes{0};                  // sent
    Counter allowed_messages{0}, allowed_bytes{0};  // its credit, counted from the begin
};

// The streams of a server by name, and the ledgers of who follows them.
class Streams {
public:
    // The stream of that name, made with this history where there is none.
    std::shared_ptr<Stream> declare(const std::string& name, History history) {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::shared_ptr<Stream>& stream = streams_[name];
        if (stream == nullptr) stream = std::make_shared<Stream>(history);
        return stream;
    }
    std::shared_ptr<Stream> find(const std::string& name) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = streams_.find(name);
        return found == streams_.end() ? nullptr : found->second;
    }
    void enter(std::shared_ptr<Ledger> ledger) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ledgers_.push_back(std::move(ledger));
        followed.store(true);
    }
    void leave(const std::shared_ptr<Ledger>& ledger) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (auto each = ledgers_.begin(); each != ledgers_.end(); ++each) {
            if (*each == ledger) {
                ledgers_.erase(each);
                break;
            }
        }
        followed.store(!ledgers_.empty());
    }
    std::vector<std::shared_ptr<Ledger>> ledgers() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return ledgers_;
    }
    // Whether a publisher has anybody to wake the loop for.
    std::atomic<bool> followed{false};

private:
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Stream>> streams_;
    std::vector<std::shared_ptr<Ledger>> ledgers_;
};

// What a SUBSCRIBE that Python has granted asks the loop for.
struct Subscription {
    std::shared_ptr<Stream> stream;  // null: none asked for
    std::shared_ptr<Ledger> ledger;
    uint32_t id = 0;
    bool latest_only = false;
};

struct Subscriber {
    Route route;
    Subscription subscription;
    std::shared_ptr<Block> block;  // where `next` was found last
    uint64_t told = 0;             // ns, last message to it
};

using Subscribers = std::unordered_map<std::string, Subscriber>;

}  // namespace laplace

#endif
