// libzmq's sockets for a server, from bind to a free port: the ROUTER, the sender of its wake-ups (by
// messages to the ROUTER itself, over inproc, so that the loop waits for one socket), and the watcher
// that counts connections.
#ifndef LAPLACE_ZMQ_SOCKETS_H
#define LAPLACE_ZMQ_SOCKETS_H

#include <cstdint>
#include <string>
#include <thread>

#include "base/counters.h"
#include "transport/wake_up.h"

namespace laplace {

class ZmqSockets final : public Alarm {
public:
    // Whose messages are wake-ups. Taken before any outside peer can connect, and libzmq refuses it to
    // later ones.
    static constexpr char wake_id[] = "laplace-wake";

    explicit ZmqSockets(Counters& counters) noexcept : counters_(counters) {}
    ~ZmqSockets() { close(0); }
    ZmqSockets(const ZmqSockets&) = delete;
    ZmqSockets& operator=(const ZmqSockets&) = delete;

    // Binds. Returns 0 or an errno; what was opened by then, close() closes. `max_message_bytes` is of a
    // frame, -1 for any; `real_time`: libzmq's threads, too.
    int open(const std::string& address, int64_t max_message_bytes, bool real_time) noexcept;
    // Begins to count connections, once. Throws std::system_error, std::bad_alloc.
    void watch();
    // By who owns the sockets: nobody uses them any more. Replies get this time to leave. Returns when
    // the port is free.
    void close(int linger_ms) noexcept;

    void* router() noexcept { return router_; }
    void ring() noexcept override;
    // What libzmq bound, with the port it chose.
    const std::string& endpoint() const noexcept { return endpoint_; }

private:
    int open_context(bool real_time) noexcept;
    int open_router(const std::string& address, int64_t max_message_bytes) noexcept;
    int open_wake_up() noexcept;
    int open_monitor() noexcept;
    int bind(const std::string& address) noexcept;
    void count_connections(void* monitor) noexcept;

    Counters& counters_;
    void* context_ = nullptr;
    void* router_ = nullptr;
    void* wake_ = nullptr;
    void* monitor_ = nullptr;  // the watcher's end; owned by it while it runs
    std::thread watcher_;
    std::string endpoint_;
};

}  // namespace laplace

#endif
