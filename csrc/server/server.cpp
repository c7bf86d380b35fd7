#include "server/server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <system_error>
#include <string_view>
#include <utility>

#include "base/real_time.h"
#include "base/signals.h"
#include "base/thread_name.h"
#include "server/loop.h"
#include "transport/tcp_router.h"
#include "transport/zmq_router.h"

#ifndef _WIN32
#include <pthread.h>
#endif

namespace laplace {

namespace {

std::atomic<unsigned> forks{0};

constexpr size_t usual_route_bytes = 64 * 1024;  // more than any row of proxies adds to a message

std::unique_ptr<Router> make_router(Shared& shared, RefusalLog& refusals) {
    const Config& config = shared.config;
    if (config.transport == TransportKind::tcp) {
        TcpConnections::Limits limits;
        limits.all = static_cast<size_t>(config.max_connections);
        if (config.max_connections_per_address > 0) {
            limits.of_address = static_cast<size_t>(config.max_connections_per_address);
        }
        // The other half is for answers to several programs behind a proxy, each of which waits by itself.
        limits.waiting_bytes = config.limits.peer_parked_bytes / 2;
        limits.handshake_ns = ns_of_ms(config.handshake_timeout_ms);
        if (config.max_message_bytes >= 0) limits.messages.max_bytes = static_cast<size_t>(config.max_message_bytes);
        limits.messages.max_frames = static_cast<size_t>(config.max_message_frames);
        limits.messages.max_route_bytes = std::max(limits.waiting_bytes, usual_route_bytes);
        const char* const poller = std::getenv("LAPLACE_POLLER");  // for tests of what other systems have
        const bool by_poll = poller != nullptr && std::string_view(poller) == "poll";
        return std::make_unique<TcpRouter>(
            limits, by_poll ? Poller::Kind::poll : Poller::Kind::best,
            [&shared, &refusals](Refusal reason, std::string_view address, std::string_view key) {
                refusals.note(now_ns(), reason, address, key, shared.jobs);
            },
            shared.admission, shared.wake_up, shared.counters);
    }
    const ZmqRouter::Options options{config.max_message_bytes, config.limits.peer_parked_bytes, config.real_time};
    return std::make_unique<ZmqRouter>(options, shared.wake_up, shared.counters);
}

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
        error = server->router_->open(config.address);
        if (error == 0) return server;
    } catch (const std::bad_alloc&) {
        error = ENOMEM;
    }
    return nullptr;
}

Server::Server(Config config) : shared_(std::move(config)), router_(make_router(shared_, refusals_)) {}

Server::~Server() {
    request_stop();  // closes the sockets of a server never started
    if (!loop_thread_.joinable()) return;
    if (loop_thread_.get_id() == std::this_thread::get_id()) {
        loop_thread_.detach();
    } else {
        loop_thread_.join();
    }
}

int Server::start() noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (life_ != Life::bound) return EINVAL;
    try {
        [[maybe_unused]] const SignalsBlocked blocked;  // does nothing on Windows
        router_->start();
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
    name_this_thread("ls-loop");
    int fault = ENOMEM;
    int linger = 0;
    // In real time, waiting without sleeping would keep others from the core.
    // Nor would it wait for a thread that comes after others.
    const bool real_time = shared_.config.real_time && become_real_time();
    try {
        router_->set_waiting(real_time ? 0 : shared_.config.spin_us, !real_time);
        Loop loop(shared_, *router_);
        fault = loop.run();
        linger = loop.linger_ms();
    } catch (const std::bad_alloc&) {
    }
    end(linger);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        fault_ = fault;
        life_ = Life::ended;
    }
    ended_.notify_all();
}

// Nothing will be answered any more.
void Server::end(int linger_ms) noexcept {
    shared_.jobs.close();
    shared_.builtin_jobs.close();
    shared_.results.close();
    shared_.documents.close();
    shared_.streams.forget_all();
    router_->close(linger_ms);
    shared_.admission.set({nullptr, false});  // a server that has ended needs no keys
}

void Server::request_stop() noexcept {
    shared_.stop_requested.store(true);
    shared_.jobs.shut();  // at once: what stands behind a STOP must not be begun
    shared_.builtin_jobs.shut();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (life_ == Life::bound) {
            end(0);
            life_ = Life::ended;
            return;
        }
    }
    shared_.wake();
}

void Server::use_keys(std::shared_ptr<const ServerKeys> keys, bool anonymous) noexcept {
    shared_.admission.set({std::move(keys), anonymous});
    shared_.wake();
}

void Server::end_subscriptions(Roles roles) noexcept {
    shared_.unsubscribed_roles.fetch_or(roles);
    shared_.wake();
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

}  // namespace laplace
