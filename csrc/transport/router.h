// Whole messages in and out, for the loop: the seam behind which the transports stand. It knows peers by
// their routes, and nothing of what they ask.
#ifndef LAPLACE_ROUTER_H
#define LAPLACE_ROUTER_H

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "base/spin.h"
#include "transport/message_reader.h"
#include "transport/route.h"
#include "transport/wake_up.h"

namespace laplace {

enum class Sent {
    yes,
    full,  // no room now
    gone   // its peer is not there any more
};

enum class Got {
    message,
    refused,  // a message over a limit, whose sender can be told: its body is not there
    other,    // what concerns nobody else: there may be more
    nothing   // no message in time, a wake-up, a signal, or a fault
};

// A message as it came. The views hold until the router receives the next one.
struct Received {
    Connection* connection = nullptr;
    std::string_view route;  // the frames, encoded
    std::string_view body;   // empty unless one_frame
    bool one_frame = true;   // behind the route
    uint64_t arrived = 0;    // ns
    Refusal refusal{};       // where it was refused
    MessageReader* reader = nullptr;  // that has the body, perhaps as a message already

    // The body, to be kept. Throws std::bad_alloc.
    Message take_body() {
        Message taken;
        if (reader != nullptr) {
            if (!reader->take_body(taken)) throw std::bad_alloc();
            return taken;
        }
        if (!taken.allocate(body.size())) throw std::bad_alloc();
        if (!body.empty()) std::memcpy(taken.data(), body.data(), body.size());
        return taken;
    }
    // Throws std::bad_alloc.
    Route keep_route() const { return {ConnectionRef(connection), std::string(route)}; }
};

class Router {
public:
    virtual ~Router() = default;
    Router(const Router&) = delete;
    Router& operator=(const Router&) = delete;

    // ---- by who owns it, while the loop does not run

    // Binds. Returns 0 or an errno; what was opened by then, close() closes.
    virtual int open(const std::string& address) noexcept = 0;
    // The loop is about to begin. Throws std::system_error, std::bad_alloc.
    virtual void start() {}
    // Replies get this time to leave. Returns when the port is free.
    virtual void close(int linger_ms) noexcept = 0;
    // What was bound, with the port that was chosen.
    const std::string& endpoint() const noexcept { return endpoint_; }
    // Whether it is open. Takes no lock, so a forked child may ask: for its parent's at the fork.
    bool holds_port() const noexcept { return holds_port_.load(); }

    // ---- by the loop

    // Waits for a message for `wait_ms`, without end where that is -1. `may_spin`: the core has nothing
    // better to do. `error` is 0 or an errno. Throws std::bad_alloc; then the message is dropped.
    virtual Got receive(Received& message, int wait_ms, bool may_spin, int& error) = 0;
    // Sends at once or not at all. The bytes are shared. Throws std::bad_alloc; then nothing was sent.
    virtual Sent send(Connection& to, std::string_view route, const Message& body,
                      const std::vector<Message>& more) = 0;
    // What was sent last answers what was received last, which came then: how long that took is counted.
    virtual void answered(uint64_t arrived) noexcept { counters_.native_latency.record(last_sent_ - arrived); }
    // What was sent has to be on its way now; false where its peer has gone.
    virtual bool flush(Connection& to) noexcept = 0;
    // Takes nothing more from it, and closes it when what was sent has left, and what its peers are owed:
    // for that it has little time.
    virtual void finish(Connection& connection) noexcept = 0;
    // Looks whether everybody may still be there, and in which role, where that may have changed.
    virtual void review() noexcept {}
    // No peer of it is owed anything any more.
    virtual void settled(Connection& connection) noexcept = 0;
    // Whether, since the last call, a connection that was full got room, or one has gone.
    virtual bool take_room() noexcept = 0;
    // Another thread has borrowed the loop's turn, and sends until it calls stood_in(). False: the loop has
    // to look, or would sleep longer than until `due` (ns).
    virtual void stand_in() noexcept {}
    virtual bool stood_in(uint64_t due) noexcept { return due == UINT64_MAX; }
    // Whether, since the last call, connections have gone that held much memory.
    virtual bool take_freed() noexcept { return false; }
    // After how long to try where it was full, ns: take_room() does not tell of all. UINT64_MAX: it does.
    virtual uint64_t retry_ns() const noexcept = 0;

    // Calm: no requests that would have to wait while much is given to one peer at once.
    void set_calm(bool calm) noexcept { calm_ = calm; }
    uint64_t last_sent() const noexcept { return last_sent_; }  // ns
    Spin& spin() noexcept { return spin_; }
    // How long to wait for the next message without sleeping, and whether others may work while the loop
    // sleeps; to be called first.
    void set_waiting(int spin_us, bool lends_turn) noexcept {
        spin_ = Spin(static_cast<uint64_t>(spin_us) * 1000);
        lends_turn_ = lends_turn;
    }

protected:
    Router(WakeUp& wake_up, Counters& counters) noexcept : wake_up_(wake_up), counters_(counters) {}

    WakeUp& wake_up_;
    Counters& counters_;
    Spin spin_{0};
    bool lends_turn_ = false;
    bool calm_ = false;
    uint64_t last_sent_ = 0;
    std::string endpoint_;
    std::atomic<bool> holds_port_{false};
};

}  // namespace laplace

#endif
