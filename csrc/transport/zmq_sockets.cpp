#include "transport/zmq_sockets.h"

#include <cstring>
#include <new>

#include "base/real_time.h"
#include "tcp/socket.h"
#include "transport/zmq_frame.h"

namespace laplace {

namespace {

constexpr char wake_endpoint[] = "inproc://laplace-wake";
constexpr char monitor_endpoint[] = "inproc://laplace-monitor";
constexpr char zap_domain[] = "laplace";
// Replies libzmq holds for one peer before more are parked on the server's own account.
constexpr int send_high_water = 256;
// Large frames go to the network in pieces that fit into a core's cache, and no core is busy with
// one for long: smaller ones let reads pass sooner, and cost throughput. On a way of 30 ms this
// allows 13 MB/s (Linux doubles it).
constexpr int send_buffer = 192 * 1024;

// With a second one, a read need not wait behind the frames of a stream on their way to the network.
// Where there are no cores to spare it costs more than that: on two, a third of all reads.
int io_threads() noexcept { return std::thread::hardware_concurrency() >= 4 ? 2 : 1; }

int set_option(void* socket, int option, int value) noexcept {
    return zmq.setsockopt(socket, option, &value, sizeof value) == 0 ? 0 : zmq.errno_();
}

}  // namespace

int ZmqSockets::open(const std::string& address, int64_t max_message_bytes, bool real_time) noexcept {
    int error = open_context(real_time);
    if (error == 0) error = open_router(address, max_message_bytes);
    if (error == 0) error = open_wake_up();
    if (error == 0) error = open_monitor();
    if (error == 0) error = bind(address);
    return error;
}

int ZmqSockets::open_context(bool with_real_time) noexcept {
    context_ = zmq.ctx_new();
    if (context_ == nullptr) return zmq.errno_();
    if (zmq.ctx_set(context_, ZMQ_IO_THREADS, io_threads()) != 0) return zmq.errno_();
    if (!with_real_time) return 0;
    const RealTime wanted = real_time();
    if (zmq.ctx_set(context_, ZMQ_THREAD_SCHED_POLICY, wanted.policy) != 0 ||
        zmq.ctx_set(context_, ZMQ_THREAD_PRIORITY, wanted.priority) != 0) {
        return zmq.errno_();
    }
    return 0;
}

int ZmqSockets::open_router(const std::string& address, int64_t max_message_bytes) noexcept {
    router_ = zmq.socket(context_, ZMQ_ROUTER);
    if (router_ == nullptr) return zmq.errno_();
    const bool ipv6 = address.find('[') != std::string::npos;
    const int options[][2] = {
        {ZMQ_LINGER, 0},
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_SNDHWM, send_high_water},
        {ZMQ_SNDBUF, send_buffer},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, usual_keepalive.idle_s},
        {ZMQ_TCP_KEEPALIVE_INTVL, usual_keepalive.interval_s},
        {ZMQ_TCP_KEEPALIVE_CNT, usual_keepalive.probes},
        {ZMQ_TCP_MAXRT, usual_keepalive.unconfirmed_ms},
        {ZMQ_IPV6, ipv6 ? 1 : 0},
    };
    for (const auto& option : options) {
        if (const int error = set_option(router_, option[0], option[1])) return error;
    }
    // A domain without a handler changes nothing for peers of ZMTP 3 (libzmq 4, 2013) and refuses
    // older ones. Anything but ZMTP looks like ZMTP 1.0, and a greeting of that kind that arrives
    // while the socket closes fails an assertion in libzmq (zmtp_engine, push_msg), which would
    // take the whole program with it.
    if (zmq.setsockopt(router_, ZMQ_ZAP_DOMAIN, zap_domain, sizeof zap_domain - 1) != 0) return zmq.errno_();
    if (zmq.setsockopt(router_, ZMQ_MAXMSGSIZE, &max_message_bytes, sizeof max_message_bytes) != 0) {
        return zmq.errno_();
    }
    return 0;
}

int ZmqSockets::open_wake_up() noexcept {
    if (zmq.bind(router_, wake_endpoint) != 0) return zmq.errno_();
    wake_ = zmq.socket(context_, ZMQ_DEALER);
    if (wake_ == nullptr) return zmq.errno_();
    if (const int error = set_option(wake_, ZMQ_LINGER, 0)) return error;
    if (zmq.setsockopt(wake_, ZMQ_ROUTING_ID, wake_id, sizeof wake_id - 1) != 0 ||
        zmq.connect(wake_, wake_endpoint) != 0) {
        return zmq.errno_();
    }
    return 0;
}

int ZmqSockets::open_monitor() noexcept {
    if (zmq.socket_monitor(router_, monitor_endpoint, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) != 0) {
        return zmq.errno_();
    }
    monitor_ = zmq.socket(context_, ZMQ_PAIR);
    if (monitor_ == nullptr || zmq.connect(monitor_, monitor_endpoint) != 0) return zmq.errno_();
    return 0;
}

int ZmqSockets::bind(const std::string& address) noexcept {
    if (zmq.bind(router_, address.c_str()) != 0) return zmq.errno_();
    char endpoint[1024];
    size_t size = sizeof endpoint;
    if (zmq.getsockopt(router_, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0) return zmq.errno_();
    try {
        endpoint_ = endpoint;
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    return 0;
}

// A full pipe is as good: the loop has wake-ups to read then.
void ZmqSockets::ring() noexcept {
    while (zmq.send(wake_, "", 0, ZMQ_DONTWAIT) < 0 && zmq.errno_() == EINTR) {
    }
}

void ZmqSockets::close(int linger_ms) noexcept {
    if (router_ != nullptr) {
        zmq.setsockopt(router_, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq.close(router_);
        router_ = nullptr;
    }
    if (wake_ != nullptr) zmq.close(wake_);
    wake_ = nullptr;
    if (context_ == nullptr) return;
    zmq.ctx_shutdown(context_);  // the watcher's receive ends
    if (watcher_.joinable()) {
        watcher_.join();
    } else if (monitor_ != nullptr) {
        zmq.close(monitor_);
    }
    monitor_ = nullptr;
    while (zmq.ctx_term(context_) != 0 && zmq.errno_() == EINTR) {
    }
    context_ = nullptr;
}

// By a thread of its own, because libzmq's events come by a second socket, and a loop that waits for
// two sockets answers more slowly than one that waits for one.
void ZmqSockets::watch() {
    if (watcher_.joinable()) return;
    watcher_ = std::thread([this, monitor = monitor_] { count_connections(monitor); });
}

void ZmqSockets::count_connections(void* monitor) noexcept {
    ZmqFrame frame;
    bool first = true;
    for (;;) {
        if (zmq.msg_recv(frame.raw(), monitor, 0) < 0) {
            if (zmq.errno_() == EINTR) continue;
            break;
        }
        if (first && frame.size() >= sizeof(uint16_t)) {
            uint16_t event = 0;
            std::memcpy(&event, frame.data(), sizeof event);
            if (event == ZMQ_EVENT_ACCEPTED) {
                add(counters_.connections);
                add(counters_.connections_total);
            } else if (event == ZMQ_EVENT_DISCONNECTED) {
                counters_.connections.fetch_sub(1, std::memory_order_relaxed);
            }
        }
        first = !frame.more();
    }
    counters_.connections.store(0, std::memory_order_relaxed);
    zmq.close(monitor);
}

}  // namespace laplace
