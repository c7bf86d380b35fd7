// A server's life: socket bound, loop started, stopped, everything closed. Knows
// nothing of Python. All functions may be called from any thread.
#ifndef LAPLACE_SERVER_H
#define LAPLACE_SERVER_H

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "shared.h"

namespace laplace {

class Server : public std::enable_shared_from_this<Server> {
public:
    // Binds. Null on failure, with libzmq's errno in `error`.
    static std::shared_ptr<Server> create(const Config& config, int& error) noexcept;
    explicit Server(Config config) : shared(std::move(config)) {}
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Starts the loop thread, which keeps the server alive. Returns 0 or an errno.
    int start() noexcept;
    // Asks the loop to end; a server never started is closed at once.
    void request_stop() noexcept;
    // True when the port is free and all native threads have ended.
    bool wait_ended(int milliseconds) noexcept;
    bool started() noexcept;
    // errno of a socket that failed for good, 0 otherwise.
    int fault() noexcept;
    // The endpoint libzmq bound, with the port it chose.
    std::string endpoint() const { return endpoint_; }
    // Whether its sockets are open. Takes no lock, so a forked child may ask: for its parent's at the fork.
    bool holds_port() const noexcept { return holds_port_.load(); }

    uint64_t replace_document(document_id which, Text text, bool is_error, bool live) noexcept;
    void finish_look(document_id which, const Look& look, Text text, bool is_error, bool live) noexcept;
    void finish_job(Finished&& finished);

    Shared shared;

private:
    enum class Life { bound, running, ended };

    int open() noexcept;
    int set_option(int option, int value) noexcept;
    void close_sockets(int linger_ms) noexcept;
    void run() noexcept;
    void watch_connections(void* monitor) noexcept;

    void* context_ = nullptr;
    void* router_ = nullptr;
    void* wake_ = nullptr;
    void* monitor_ = nullptr;  // the watcher's end; owned by it while it runs
    std::string endpoint_;
    std::atomic<bool> holds_port_{false};

    std::mutex mutex_;
    std::condition_variable ended_;
    Life life_ = Life::bound;
    int fault_ = 0;
    std::thread loop_thread_, watcher_;
};

// Number of forks this process descends from, counted from the import of the core.
// A server made before the last one belongs to the parent.
unsigned fork_count() noexcept;
bool watch_forks() noexcept;

}  // namespace laplace

#endif
