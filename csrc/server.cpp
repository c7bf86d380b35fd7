#include "server.h"

#include <chrono>
#include <cstdio>
#include <new>
#include <system_error>
#include <utility>

#include "loop.h"
#include "real_time.h"
#include "signals.h"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace laplace {

namespace {

constexpr char wake_endpoint[] = "inproc://laplace-wake";
constexpr char monitor_endpoint[] = "inproc://laplace-monitor";
// Taken before any outside peer can connect, and libzmq refuses it to later ones.
constexpr char wake_id[] = "laplace-wake";
constexpr char zap_domain[] = "laplace";
// Replies libzmq holds for one peer before the loop parks more on its own account.
constexpr int send_high_water = 256;
// Large frames go to the network in pieces that fit into a core's cache, and no core is busy with
// one for long: smaller ones let reads pass sooner, and cost throughput. On a way of 30 ms this
// allows 13 MB/s (Linux doubles it).
constexpr int send_buffer = 192 * 1024;
// A peer that lost its power or its network is given up after these times, whether anything is on
// its way to it or not.
constexpr int keepalive_idle_s = 60, keepalive_interval_s = 10, keepalive_probes = 3;
constexpr int unconfirmed_ms = 60000;
// With a second one, a read need not wait behind the frames of a stream on their way to the network.
// Where there are no cores to spare it costs more than that: on two, a third of all reads.
int io_threads() noexcept { return std::thread::hardware_concurrency() >= 4 ? 2 : 1; }

std::atomic<unsigned> forks{0};

}  // namespace

unsigned fork_count() noexcept { return forks.load(std::memory_order_relaxed); }

bool watch_forks() noexcept {
#ifdef _WIN32
    return true;
#else
    return pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); }) == 0;
#endif
}

std::shared_ptr<Server> Server::create(const Config& config, int& error) noexcept {
    try {
        auto server = std::make_shared<Server>(config);
        error = server->open();
        if (error == 0) return server;
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    return nullptr;
}

Server::~Server() {
    request_stop();  // closes the sockets of a server never started
    for (std::thread* thread : {&loop_thread_, &watcher_}) {
        if (!thread->joinable()) continue;
        if (thread->get_id() == std::this_thread::get_id()) {
            thread->detach();
        } else {
            thread->join();
        }
    }
}

int Server::set_option(int option, int value) noexcept {
    return zmq.setsockopt(router_, option, &value, sizeof value) == 0 ? 0 : zmq.errno_();
}

// Returns 0 or an errno; what was opened by then, the destructor closes.
int Server::open() noexcept {
    context_ = zmq.ctx_new();
    if (context_ == nullptr) return zmq.errno_();
    if (zmq.ctx_set(context_, ZMQ_IO_THREADS, io_threads()) != 0) return zmq.errno_();
    if (shared.config.real_time) {
        const RealTime wanted = real_time();
        if (zmq.ctx_set(context_, ZMQ_THREAD_SCHED_POLICY, wanted.policy) != 0 ||
            zmq.ctx_set(context_, ZMQ_THREAD_PRIORITY, wanted.priority) != 0) {
            return zmq.errno_();
        }
    }
    router_ = zmq.socket(context_, ZMQ_ROUTER);
    if (router_ == nullptr) return zmq.errno_();
    const bool ipv6 = shared.config.address.find('[') != std::string::npos;
    const int options[][2] = {
        {ZMQ_LINGER, 0},
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_SNDHWM, send_high_water},
        {ZMQ_SNDBUF, send_buffer},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, keepalive_idle_s},
        {ZMQ_TCP_KEEPALIVE_INTVL, keepalive_interval_s},
        {ZMQ_TCP_KEEPALIVE_CNT, keepalive_probes},
        {ZMQ_TCP_MAXRT, unconfirmed_ms},
        {ZMQ_IPV6, ipv6 ? 1 : 0},
    };
    for (const auto& option : options) {
        if (const int error = set_option(option[0], option[1])) return error;
    }
    // A domain without a handler changes nothing for peers of ZMTP 3 (libzmq 4, 2013) and refuses
    // older ones. Anything but ZMTP looks like ZMTP 1.0, and a greeting of that kind that arrives
    // while the socket closes fails an assertion in libzmq (zmtp_engine, push_msg), which would
    // take the whole program with it.
    if (zmq.setsockopt(router_, ZMQ_ZAP_DOMAIN, zap_domain, sizeof zap_domain - 1) != 0) return zmq.errno_();
    const int64_t limit = shared.config.max_message_bytes;
    if (zmq.setsockopt(router_, ZMQ_MAXMSGSIZE, &limit, sizeof limit) != 0) return zmq.errno_();

    if (zmq.bind(router_, wake_endpoint) != 0) return zmq.errno_();
    wake_ = zmq.socket(context_, ZMQ_DEALER);
    if (wake_ == nullptr) return zmq.errno_();
    const int no_linger = 0;
    if (zmq.setsockopt(wake_, ZMQ_LINGER, &no_linger, sizeof no_linger) != 0 ||
        zmq.setsockopt(wake_, ZMQ_ROUTING_ID, wake_id, sizeof wake_id - 1) != 0 ||
        zmq.connect(wake_, wake_endpoint) != 0) {
        return zmq.errno_();
    }
    shared.set_wake_socket(wake_);

    if (zmq.socket_monitor(router_, monitor_endpoint, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED) != 0) {
        return zmq.errno_();
    }
    monitor_ = zmq.socket(context_, ZMQ_PAIR);
    if (monitor_ == nullptr || zmq.connect(monitor_, monitor_endpoint) != 0) return zmq.errno_();

    if (zmq.bind(router_, shared.config.address.c_str()) != 0) return zmq.errno_();
    holds_port_.store(true);
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

// Only by who owns the sockets: the loop thread at its end, or whoever ends a
// server that never ran. Returns when the port is free.
void Server::close_sockets(int linger_ms) noexcept {
    shared.set_wake_socket(nullptr);
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
    holds_port_.store(false);
}

int Server::start() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (life_ != Life::bound) return EINVAL;
    try {
        [[maybe_unused]] const SignalsBlocked blocked;  // does nothing on Windows
        if (!watcher_.joinable()) {
            watcher_ = std::thread([this, monitor = monitor_] { watch_connections(monitor); });
        }
        loop_thread_ = std::thread([self = shared_from_this()] { self->run(); });
    } catch (const std::system_error& problem) {
        const int error = problem.code().value();
        return error != 0 ? error : EAGAIN;
    } catch (const std::bad_alloc&) {
        return ENOMEM;
    }
    life_ = Life::running;
    return 0;
}

void Server::run() noexcept {
    int fault = ENOMEM;
    int linger = 0;
    // In real time, waiting without sleeping would keep others from the core.
    const int spin_us = shared.config.real_time && become_real_time() ? 0 : shared.config.spin_us;
    try {
        Loop loop(shared, router_, wake_id, spin_us);
        fault = loop.run();
        linger = loop.linger_ms();
    } catch (const std::bad_alloc&) {
    }
    shared.inbox.close();
    shared.documents.close();
    shared.streams.forget_all();
    close_sockets(linger);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        fault_ = fault;
        life_ = Life::ended;
    }
    ended_.notify_all();
}

// Counts connections. Its own thread, because libzmq's events come by a second socket
// and a loop that waits for two sockets answers more slowly than one that waits for one.
void Server::watch_connections(void* monitor) noexcept {
    Message frame;
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
                add(shared.counters.connections);
                add(shared.counters.connections_total);
            } else if (event == ZMQ_EVENT_DISCONNECTED) {
                shared.counters.connections.fetch_sub(1, std::memory_order_relaxed);
            }
        }
        first = !frame.more();
    }
    shared.counters.connections.store(0, std::memory_order_relaxed);
    zmq.close(monitor);
}

void Server::request_stop() noexcept {
    shared.stop_requested.store(true);
    shared.inbox.shut();  // at once: what stands behind a STOP must not be begun
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (life_ == Life::bound) {
            shared.inbox.close();
            shared.documents.close();
            shared.streams.forget_all();
            close_sockets(0);
            life_ = Life::ended;
            return;
        }
    }
    shared.wake();
}

bool Server::wait_ended(int milliseconds) noexcept {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto is_over = [this] { return life_ == Life::ended; };
    if (!ended_.wait_for(lock, std::chrono::milliseconds(milliseconds), is_over)) return false;
    // What is left of the thread is a few instructions; after this it is gone.
    if (loop_thread_.joinable() && loop_thread_.get_id() != std::this_thread::get_id()) loop_thread_.join();
    return true;
}

bool Server::started() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return life_ == Life::running;
}

int Server::fault() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    return fault_;
}

uint64_t Server::replace_document(document_id which, Text text, bool is_error, bool live) noexcept {
    bool serves = false;
    const uint64_t generation = shared.documents.replace(which, std::move(text), is_error, live, serves);
    if (serves) shared.wake();
    return generation;
}

void Server::finish_look(document_id which, const Look& look, Text text, bool is_error, bool live) noexcept {
    add(shared.counters.refreshes);
    if (shared.documents.finish_look(which, look, std::move(text), is_error, live)) shared.wake();
}

void Server::finish_job(Finished&& finished) {
    shared.outbox.push(std::move(finished));
    shared.wake();
}

}  // namespace laplace
