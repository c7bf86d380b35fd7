// A stream sender over a router made of memory, its subscribers, and a clock that the test moves.
#ifndef LAPLACE_TESTS_STREAMS_BENCH_H
#define LAPLACE_TESTS_STREAMS_BENCH_H

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "streams/stream_sender.h"
#include "support/checks.h"
#include "support/memory_router.h"

namespace streams_bench {

using namespace laplace;
using memory_router::Frames;
using memory_router::Room;

constexpr uint64_t epoch = 77;
constexpr int silence_ms = 60000;
constexpr size_t most_of_one = 300;
constexpr uint64_t much = UINT64_MAX;

// A message as a subscriber reads it.
struct Word {
    bool there = false;
    StreamHeader header{};
    std::string texts;  // the JSON array
    std::vector<double> times;
    Frames arrays;
};

struct Bench {
    explicit Bench(Room room = Room::told, size_t most = most_of_one)
        : router(room, wake_up, counters), sender(router, streams, epoch, silence_ms, most) {}

    std::shared_ptr<Stream> declare(const std::string& name, const History& history = {}) {
        return streams.declare(name, '"' + name + '"', history, false);
    }
    // Begins at `next`; the ledger.
    std::shared_ptr<Ledger> subscribe(const std::string& peer, uint32_t id, const std::shared_ptr<Stream>& stream,
                                      uint64_t next = 1, uint64_t messages = much, uint64_t bytes = much,
                                      bool latest_only = false) {
        const Grant grant = granted(id, stream, next, messages, bytes, latest_only);
        CHECK(sender.subscribe(route_to(peer), grant, now) == Begun::yes);
        return grant.ledger;
    }
    static Grant granted(uint32_t id, const std::shared_ptr<Stream>& stream, uint64_t next = 1, uint64_t messages = much,
                         uint64_t bytes = much, bool latest_only = false) {
        Grant grant;
        grant.stream = stream;
        grant.ledger = std::make_shared<Ledger>();
        grant.ledger->next.store(next);
        grant.ledger->allowed_messages.store(messages);
        grant.ledger->allowed_bytes.store(bytes);
        grant.id = id;
        grant.latest_only = latest_only;
        return grant;
    }
    Route route_to(const std::string& peer) {
        return {ConnectionRef(&router.peer(peer)), memory_router::encoded({""})};
    }
    // Whether it was a word of a subscriber.
    bool control(const std::string& peer, uint32_t id, StreamKind kind, uint64_t messages = much, uint64_t bytes = much,
                 uint64_t next = 0) {
        StreamControl word{};
        std::memcpy(word.magic, stream_magic, sizeof word.magic);
        word.version = stream_version;
        word.kind = kind;
        word.subscription = id;
        word.messages = messages;
        word.bytes = bytes;
        word.next = next;
        return deliver({peer, "", std::string(reinterpret_cast<const char*>(&word), sizeof word)});
    }
    bool deliver(const Frames& frames) {
        Received message;
        int error = 0;
        router.deliver(frames);
        if (router.receive(message, 0, false, error) != Got::message) std::abort();
        message.arrived = now;
        return sender.take_control(message);
    }
    std::chrono::microseconds send() { return sender.send(now); }
    // Sends until nothing is due.
    void send_all() {
        for (int i = 0; i < 1000 && sender.due(now) <= now; ++i) send();
        CHECK(sender.due(now) > now);
    }
    Word read(const std::string& peer) {
        Word word;
        Frames frames = router.read(peer);
        if (frames.empty()) return word;
        word.there = CHECK(frames.size() >= 2 && frames[0].empty() && frames[1].size() >= sizeof word.header);
        if (!word.there) return word;
        const std::string& head = frames[1];
        std::memcpy(&word.header, head.data(), sizeof word.header);
        CHECK(std::memcmp(word.header.magic, stream_magic, sizeof word.header.magic) == 0);
        CHECK(word.header.version == stream_version && word.header.epoch == epoch);
        const size_t behind_times = sizeof word.header + word.header.count * sizeof(double);
        if (!CHECK(head.size() >= behind_times)) return word;
        word.times.resize(word.header.count);
        if (word.header.count > 0) {
            std::memcpy(word.times.data(), head.data() + sizeof word.header, word.header.count * sizeof(double));
        }
        word.texts = head.substr(behind_times);
        word.arrays.assign(frames.begin() + 2, frames.end());
        CHECK(word.arrays.size() == word.header.arrays);
        return word;
    }
    bool nothing_for(const std::string& peer) { return router.held(peer) == 0; }
    // As the loop does after each receipt.
    void hear_of_room() {
        if (router.take_room()) sender.wake();
    }
    void pass_ms(uint64_t milliseconds) {
        now += milliseconds * ns_per_ms;
        hear_of_room();
        if (sender.due(now) <= now) send();
    }

    WakeUp wake_up;
    Counters counters;
    Streams streams;
    memory_router::MemoryRouter router;
    StreamSender sender;
    uint64_t now = 1000 * ns_per_ms;
};

inline uint64_t publish(Stream& stream, const std::string& text, double time = 0, const std::vector<std::string>& arrays = {},
                 bool loose = false, uint64_t lost_before = 0) {
    std::vector<Message> frames;
    for (const std::string& array : arrays) {
        if (!frames.emplace_back().allocate(array.size())) std::abort();
        if (!array.empty()) std::memcpy(frames.back().data(), array.data(), array.size());
    }
    return stream.append(text, loose, time, frames, lost_before);
}

}  // namespace streams_bench

#endif
