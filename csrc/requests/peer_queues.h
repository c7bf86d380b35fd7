// Who is owed answers: each peer's requests in the order they came, what waits for Python, for a text
// or for room, and how much of it there may be. Used by the loop alone.
#ifndef LAPLACE_PEER_QUEUES_H
#define LAPLACE_PEER_QUEUES_H

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/counters.h"
#include "requests/accounts.h"
#include "requests/budgets.h"
#include "requests/clients.h"
#include "requests/denials.h"
#include "requests/job_queue.h"
#include "requests/peers.h"
#include "requests/responder.h"
#include "transport/router.h"

namespace laplace {

class PeerQueues {
public:
    // To Python: what may run the program's code, in the order it came, and what runs Python's own.
    struct Queues {
        JobQueue& callbacks;
        JobQueue& builtin;
    };
    // `refresh_timeout_ms`: how long a read waits for a text of the present data.
    PeerQueues(Router& router, Responder& responder, Queues queues, Counters& counters, Denials& denials, Clients& clients,
               const Limits& limits, int refresh_timeout_ms);
    PeerQueues(const PeerQueues&) = delete;
    PeerQueues& operator=(const PeerQueues&) = delete;

    // All of these throw std::bad_alloc. Then a peer that could not be served on is forgotten. `now` is
    // in ns, by the clock of Received::arrived.

    // A request: answers it, or lines it up.
    void take(Received& message);
    // A message over a limit: tells who sent it, if that is possible, and takes nothing more from there.
    void refuse(Received& message);
    // Python's reply to a job, which may not be owed to anybody any more.
    void finish(PythonReply& reply, uint64_t now);
    // Instead of Python's reply.
    void finish_busy(uint64_t job, uint64_t now);
    // The route of the one a job is for; null where it has gone.
    Route* route_of(uint64_t job) noexcept;
    // Whether nothing waits behind a job, so that its end sends one answer and begins nothing.
    bool is_last(uint64_t job) const noexcept {
        const auto found = jobs_.find(job);
        return found == jobs_.end() || found->second.peer == nullptr || found->second.peer->slots.size() == 1;
    }
    // Answers the reads whose text has been made, or whose time is over.
    void serve_waiting(uint64_t now);
    // Does what is due by then.
    void work(uint64_t now);
    // When work() has to be called, UINT64_MAX for never.
    uint64_t due() const noexcept;
    // A connection may have room again, or has gone.
    void room(uint64_t now);

    bool empty() const noexcept { return peers_.empty(); }
    bool any_waiting() const noexcept { return !waiting_.empty(); }
    // Requests that Python has, those of forgotten peers included.
    size_t jobs() const noexcept { return jobs_.size(); }

    // The server stops, as the responder knows already: what Python has not begun is refused.
    void refuse_unbegun(uint64_t now);
    // What Python has begun and not finished, after that: its peers are told that the outcome is not known.
    void give_up_begun(uint64_t now);

private:
    // What Python has; its peer is null once that has gone.
    struct Owed {
        Peer* peer;
        size_t weight;
        bool for_callbacks;
    };

    Peer& peer_of(Received& message);
    void append(Peer& peer, Received& message, const Request& request, const Ticket& ticket);
    bool answer_again(Received& message, const Request& request);
    void answer_now(Received& message, Answer& answer);
    void answer_later(Received& message, Answer& answer);
    Sent send(Connection& to, std::string_view route, const Answer& answer);
    static void sweep(Peer& peer) noexcept;
    void advance(Peer& peer, uint64_t now);
    void begin_front(Peer& peer, uint64_t now);
    void enqueue(Peer& peer, Slot& slot, const Request& request);
    static bool for_callbacks(const Slot& slot) noexcept { return slot.action == Action::python; }
    void enqueue_next(Peer& peer);
    bool serve_waiting_peer(Peer& peer, uint64_t now);
    void retry_parked(uint64_t now);
    void make_ready(Peer& peer, Slot& slot, bool busy_behind = false) noexcept;
    void discharge(Peer& peer, Slot& slot) noexcept;
    void park(Peer& peer, uint64_t now);
    void forget(Peer& peer) noexcept;
    const Request& inspect(const Slot& slot) noexcept {
        return responder_.inspect(slot.body.view(), slot.one_frame, slot.route.connection->role());
    }
    void abandon(Answer& answer, const Connection& to, ErrorKind kind) noexcept;
    Slot* take_job(uint64_t id, Peer*& peer) noexcept;
    static Slot* slot_of(Peer& peer, uint64_t id) noexcept;
    template <typename Answering>
    void finish_job(uint64_t id, uint64_t now, Answering answering);
    template <typename Work>
    void forget_without_memory(Peer& peer, Work work);

    Router& router_;
    Responder& responder_;
    const Queues queues_;
    Counters& counters_;
    Accounts accounts_;
    Clients& clients_;
    Budgets budgets_;
    const uint64_t refresh_timeout_ns_;

    Peers peers_;
    std::unordered_map<uint64_t, Owed> jobs_;
    uint64_t last_job_ = 0;
    std::vector<Peer*> waiting_, parked_;
    uint64_t waiting_at_ = UINT64_MAX;  // when the first of the waiting is due
    uint64_t retry_at_ = 0, retry_after_ = 0;  // of parked replies, where the router does not tell of room
    bool progress_ = false;  // something was sent since the last retry began
    std::string key_;
    const std::vector<Message> no_arrays_;
};

}  // namespace laplace

#endif
