// A router made of memory, for parts of the core that are tested without a network: connections by name,
// each with as much room as the test says. Include it in one file of a program.
#ifndef LAPLACE_TESTS_MEMORY_ROUTER_H
#define LAPLACE_TESTS_MEMORY_ROUTER_H

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "transport/router.h"
#include "zmtp/frames.h"

namespace memory_router {

using Frames = std::vector<std::string>;

inline long living = 0;  // records of connections

// As they go in front of a body.
inline std::string encoded(const Frames& frames) {
    std::string encoded;
    for (const std::string& frame : frames) {
        char header[laplace::zmtp::max_header];
        const char* const behind = laplace::zmtp::encode_header(true, frame.size(), header);
        encoded.append(header, static_cast<size_t>(behind - header)).append(frame);
    }
    return encoded;
}

// How those above hear that there is room again, or that a connection has ended: as own TCP tells, or by
// trying, as with libzmq.
enum class Room { told, tried };

// Whether nothing is held by those who answer.
inline bool is_clear(const laplace::Holdings& holdings) {
    return holdings.pending == 0 && holdings.pending_bytes == 0 && holdings.parked_bytes == 0 &&
           holdings.peers == 0 && holdings.parked_peers == 0;
}

class MemoryRouter final : public laplace::Router {
public:
    struct Peer final : laplace::Connection {
        struct Held {
            std::string route;
            laplace::Message body;
            std::vector<laplace::Message> more;
        };
        Peer() { ++living; }
        ~Peer() override { --living; }
        void close() { open_ = false; }
        void set_role(laplace::Role role) { role_ = role; }
        std::string peer_address() const override {
            if (failing_memory::fails()) throw std::bad_alloc();
            return address;
        }
        void end() { ended_ = true; }  // it sends nothing any more

        std::string address;
        size_t room = SIZE_MAX;      // messages that are taken before they are read
        bool gone = false;           // who sends finds out
        bool gone_at_flush = false;  // what was sent is found out to have been sent to nobody
        std::deque<Held> held;
        // What was called, how often.
        int flushes = 0, finishes = 0, settlements = 0;
        bool full = false;  // somebody was told so
    };

    MemoryRouter(Room room, laplace::WakeUp& wake_up, laplace::Counters& counters)
        : Router(wake_up, counters), room_(room) {}

    // ---- the test's side

    // A message that will be received: its connection's name, routing frames, an empty one, the body.
    void deliver(Frames frames) { incoming_.push_back({std::move(frames), false, laplace::Refusal{}}); }
    // One over a limit, of which the route is known.
    void deliver_refused(Frames route, laplace::Refusal refusal) {
        incoming_.push_back({std::move(route), true, refusal});
    }
    // The connection of that name.
    Peer& peer(const std::string& name) {
        laplace::ConnectionRef& known = peers_[name];
        if (known.get() == nullptr) known = laplace::ConnectionRef(new Peer);
        return static_cast<Peer&>(*known);
    }
    // It ends. Another one may have its name then.
    void lose(const std::string& name) {
        Peer& lost = peer(name);
        lost.gone = true;
        if (room_ == Room::told) {
            lost.close();
            lost_one_ = true;
        }
        peers_.erase(name);
    }
    // The next message to a connection; none where there is none.
    Frames read(const std::string& name) {
        Frames frames;
        std::deque<Peer::Held>& held = peer(name).held;
        if (held.empty()) return frames;
        for (const laplace::zmtp::Frame frame : laplace::zmtp::Frames(held.front().route)) {
            frames.emplace_back(frame.body);
        }
        frames.emplace_back(held.front().body.view());
        for (const laplace::Message& frame : held.front().more) frames.emplace_back(frame.view());
        held.pop_front();
        return frames;
    }
    size_t held(const std::string& name) { return peer(name).held.size(); }
    // Whether nobody is held to anything.
    bool all_clear() const {
        for (const auto& each : peers_) {
            if (!is_clear(each.second->holdings)) return false;
        }
        return true;
    }

    std::function<void()> on_sleep = [] {};  // before it would wait

    // ---- the loop's side

    int open(const std::string&) noexcept override { return 0; }
    void close(int) noexcept override {}

    laplace::Got receive(laplace::Received& message, int wait_ms, bool, int& error) override {
        // What came before does not hold any more.
        body_ = laplace::Message();
        route_ = std::string();
        if (incoming_.empty() && wait_ms != 0 && wake_up_.fall_asleep()) {
            on_sleep();
            wake_up_.awake();
        }
        error = incoming_.empty() ? EAGAIN : 0;
        if (incoming_.empty()) return laplace::Got::nothing;
        const Incoming next = take_incoming();
        if (failing_memory::fails()) throw std::bad_alloc();
        const failing_memory::Paused paused;
        return make(message, next);
    }
    laplace::Sent send(laplace::Connection& to, std::string_view route, const laplace::Message& body,
                       const std::vector<laplace::Message>& more) override {
        if (failing_memory::fails()) throw std::bad_alloc();
        const failing_memory::Paused paused;
        Peer& peer = static_cast<Peer&>(to);
        if (peer.gone) return laplace::Sent::gone;
        if (peer.held.size() >= peer.room) {
            peer.full = true;  // until there is room, and that has been told
            return laplace::Sent::full;
        }
        Peer::Held& held = peer.held.emplace_back();
        held.route = route;
        held.body = body.share();
        for (const laplace::Message& frame : more) held.more.push_back(frame.share());
        last_sent_ = laplace::now_ns();
        return laplace::Sent::yes;
    }
    bool flush(laplace::Connection& to) noexcept override {
        Peer& peer = static_cast<Peer&>(to);
        ++peer.flushes;
        if (!peer.gone_at_flush) return true;
        peer.gone = true;
        peer.held.clear();
        return false;
    }
    void finish(laplace::Connection& connection) noexcept override { ++static_cast<Peer&>(connection).finishes; }
    void settled(laplace::Connection& connection) noexcept override {
        CHECK(is_clear(connection.holdings));
        ++static_cast<Peer&>(connection).settlements;
    }
    bool take_room() noexcept override {
        bool there_is = std::exchange(lost_one_, false);
        for (const auto& each : peers_) {
            Peer& peer = static_cast<Peer&>(*each.second);
            if (!peer.full || (peer.held.size() >= peer.room && !peer.gone)) continue;
            peer.full = false;
            there_is = true;
        }
        return there_is && room_ == Room::told;
    }
    uint64_t retry_ns() const noexcept override { return room_ == Room::told ? UINT64_MAX : laplace::ns_per_ms; }

private:
    struct Incoming {
        Frames frames;
        bool refused;
        laplace::Refusal refusal;
    };

    Incoming take_incoming() {
        const failing_memory::Paused paused;
        Incoming next = std::move(incoming_.front());
        incoming_.pop_front();
        return next;
    }
    laplace::Got make(laplace::Received& message, const Incoming& next) {
        size_t delimiter = 1;
        while (delimiter < next.frames.size() && !next.frames[delimiter].empty()) ++delimiter;
        if (delimiter >= next.frames.size()) std::abort();  // no router gives out such a thing
        const size_t behind = delimiter + 1;
        route_ = encoded({next.frames.begin() + 1, next.frames.begin() + static_cast<std::ptrdiff_t>(behind)});
        message = laplace::Received{};
        message.connection = &peer(next.frames[0]);
        message.route = route_;
        message.arrived = laplace::now_ns();
        message.refusal = next.refusal;
        if (next.refused) return laplace::Got::refused;
        message.one_frame = next.frames.size() == behind + 1;
        if (message.one_frame && !next.frames[behind].empty()) {
            const std::string& text = next.frames[behind];
            if (!body_.allocate(text.size())) std::abort();
            std::memcpy(body_.data(), text.data(), text.size());
            message.body = body_.view();
        }
        return laplace::Got::message;
    }

    const Room room_;
    std::deque<Incoming> incoming_;
    std::map<std::string, laplace::ConnectionRef> peers_;
    std::string route_;
    laplace::Message body_;
    bool lost_one_ = false;
};

// Messages get the memory that there is; to be called first.
inline void use() {
    laplace::message_memory_fails = [](size_t) noexcept { return failing_memory::fails(); };
}

}  // namespace memory_router

#endif
