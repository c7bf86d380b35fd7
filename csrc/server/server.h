// A server's life: socket bound, loop started, stopped, everything closed. Knows
// nothing of Python. All functions may be called from any thread.
#ifndef LAPLACE_SERVER_H
#define LAPLACE_SERVER_H

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "requests/refusal_log.h"
#include "server/document_writer.h"
#include "server/publisher.h"
#include "server/shared.h"
#include "server/worker.h"
#include "transport/router.h"

namespace laplace {

class Server : public std::enable_shared_from_this<Server> {
public:
    // Binds. Null on failure, with an errno in `error`.
    static std::shared_ptr<Server> create(const Config& config, int& error) noexcept;
    // Throws std::bad_alloc.
    explicit Server(Config config);
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
    // The endpoint that was bound, with the port that was chosen.
    std::string endpoint() const { return router_->endpoint(); }
    // Whether its sockets are open. Takes no lock, so a forked child may ask: for its parent's at the fork.
    bool holds_port() const noexcept { return router_->holds_port(); }

    // From now on.
    void set_table(std::shared_ptr<const DispatchTable> table) noexcept { shared_.table.set(std::move(table)); }
    void set_take_after_get(bool take) noexcept { shared_.take_after_get.store(take); }
    void set_log_answers(bool log) noexcept { shared_.log_answers.store(log); }
    // Who may connect: handshakes from now on. Soon, who is there already has the role that its key has now, or
    // is disconnected.
    void use_keys(std::shared_ptr<const ServerKeys> keys, bool anonymous) noexcept;
    // Soon, the subscriptions end that these roles have then.
    void end_subscriptions(Roles roles) noexcept;
    // Throws std::bad_alloc.
    std::vector<Denials::Count> denials() const { return shared_.denials.counts(); }
    // Who is there. Throws std::bad_alloc.
    std::vector<Clients::Seen> clients(uint64_t now) { return shared_.clients.present(now); }
    uint64_t clients_left_out() const noexcept { return shared_.clients.left_out(); }
    const Counters& counters() const noexcept { return shared_.counters; }

    // The program's side of what the loop works with; they live as long as the server.
    DocumentWriter& documents() noexcept { return documents_; }
    Publisher& streams() noexcept { return streams_; }
    Worker& jobs() noexcept { return jobs_; }

private:
    enum class Life { bound, running, ended };

    void run() noexcept;
    void end(int linger_ms) noexcept;

    Shared shared_;
    DocumentWriter documents_{shared_};
    Publisher streams_{shared_};
    Worker jobs_{shared_};
    RefusalLog refusals_{ns_of_ms(shared_.config.refusal_log_ms)};  // as the router
    const std::unique_ptr<Router> router_;  // the loop thread's, while that runs
    std::mutex mutex_;
    std::condition_variable ended_;
    Life life_ = Life::bound;
    int fault_ = 0;
    std::thread loop_thread_;
};

// Number of forks this process descends from, counted from the import of the core.
// A server made before the last one belongs to the parent.
unsigned fork_count() noexcept;
bool watch_forks() noexcept;

}  // namespace laplace

#endif
