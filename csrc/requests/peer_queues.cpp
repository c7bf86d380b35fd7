#include "requests/peer_queues.h"

#include <algorithm>
#include <new>
#include <utility>

namespace laplace {

namespace {

constexpr uint64_t last_retry_ns = 50 * ns_per_ms;  // the time between two tries doubles up to this
constexpr size_t most_dropped = 64;     // slots of a peer, until they are taken out of its line
constexpr size_t slot_overhead = 1024;  // memory of a slot and of its peer, roughly: many have one alone

template <typename Value>
void remove_from(std::vector<Value>& list, Value value) noexcept {
    list.erase(std::remove(list.begin(), list.end(), value), list.end());
}

// Bytes a slot holds beside its body or answer.
size_t overhead_of(std::string_view route) noexcept { return slot_overhead + route.size(); }

}  // namespace

PeerQueues::PeerQueues(Router& router, Responder& responder, Queues queues, Counters& counters,
                       Denials& denials, Clients& clients, const Limits& limits, int refresh_timeout_ms)
    : router_(router),
      responder_(responder),
      queues_(queues),
      counters_(counters),
      accounts_(counters, denials, queues.callbacks),
      clients_(clients),
      budgets_(limits, counters),
      refresh_timeout_ns_(ns_of_ms(refresh_timeout_ms)) {}

template <typename Work>
void PeerQueues::forget_without_memory(Peer& peer, Work work) {
    try {
        work();
    } catch (const std::bad_alloc&) {
        forget(peer);
        throw;
    }
}

// ---- requests come

void PeerQueues::take(Received& message) {
    const Request& request = responder_.inspect(message.body, message.one_frame, message.connection->role());
    clients_.hear(*message.connection, request, message.arrived);
    if (message.connection->holdings.peers > 0) {
        route_key(*message.connection, message.route, key_);
        const auto known = peers_.find(key_);
        if (known != peers_.end()) {
            append(known->second, message, request, Ticket{});
            return;
        }
    }
    if (answer_again(message, request)) return;
    Ticket ticket;
    if (responder_.stopping() || responder_.is_native(request)) {
        Answer answer;
        if (responder_.begin(request, message.arrived, ticket, answer) == Step::ready) {
            answer_now(message, answer);
            return;
        }
    }
    append(peer_of(message), message, request, ticket);
}

// The way of nearly all answers: the reply is there, and the peer takes it at once.
bool PeerQueues::answer_again(Received& message, const Request& request) {
    const Message* const reply = responder_.known_reply(request, message.arrived);
    if (reply == nullptr) return false;
    if (router_.send(*message.connection, message.route, *reply, no_arrays_) != Sent::yes) return false;
    tally(counters_.commands[request.command->index].native);
    router_.answered(message.arrived);
    return true;
}

// The peer is owed nothing else and takes it at once.
void PeerQueues::answer_now(Received& message, Answer& answer) {
    const Sent sent = send(*message.connection, message.route, answer);
    if (sent == Sent::yes) {
        accounts_.sent(answer, *message.connection, message.arrived);
    } else if (sent == Sent::gone) {
        abandon(answer, *message.connection, ErrorKind::unroutable);
    } else {
        answer_later(message, answer);
    }
}

// At the end of its peer's line.
void PeerQueues::answer_later(Received& message, Answer& answer) {
    const uint64_t now = message.arrived;
    try {
        Peer& peer = peer_of(message);
        forget_without_memory(peer, [&] {
            Slot& slot = peer.slots.emplace_back();
            slot.arrived = now;
            slot.route = message.keep_route();
            slot.answer = std::move(answer);
            make_ready(peer, slot);
            advance(peer, now);
        });
    } catch (const std::bad_alloc&) {
        responder_.put_back(answer.taken);  // unless a slot has it
        throw;
    }
}

// A value that only this reply carries must not be lost on the way: it is put back where the peer has gone.
Sent PeerQueues::send(Connection& to, std::string_view route, const Answer& answer) {
    if (answer.taken && to.has_ended()) return Sent::gone;
    const Sent sent = router_.send(to, route, answer.reply, answer.arrays);
    if (sent == Sent::yes && answer.taken && !router_.flush(to)) return Sent::gone;
    return sent;
}

void PeerQueues::refuse(Received& message) {
    try {
        Answer answer;
        responder_.answer_refused(message.refusal, answer);
        route_key(*message.connection, message.route, key_);
        if (peers_.count(key_) == 0) {
            answer_now(message, answer);
        } else {
            answer_later(message, answer);
        }
    } catch (const std::bad_alloc&) {
        router_.finish(*message.connection);  // untold
        throw;
    }
    router_.finish(*message.connection);
}

Peer& PeerQueues::peer_of(Received& message) {
    route_key(*message.connection, message.route, key_);
    const auto [entry, is_new] = peers_.try_emplace(key_);
    Peer& peer = entry->second;
    if (!is_new) return peer;
    try {
        peer.key = key_;
    } catch (const std::bad_alloc&) {
        peers_.erase(entry);
        throw;
    }
    peer.connection = ConnectionRef(message.connection);
    ++peer.connection->holdings.peers;
    return peer;
}

// Puts a request at the end of its peer's line.
void PeerQueues::append(Peer& peer, Received& message, const Request& request, const Ticket& ticket) {
    const uint64_t now = message.arrived;
    forget_without_memory(peer, [&] {
        const size_t weight = message.body.size() + overhead_of(message.route);
        const bool begins = peer.slots.empty() ||
                            (peer.slots.back().state == SlotState::queued && for_callbacks(peer.slots.back()));
        Slot& slot = peer.slots.emplace_back();
        slot.arrived = now;
        slot.one_frame = request.one_frame;
        slot.ticket = ticket;
        slot.answer.command = request.command != nullptr ? request.command->index : 0;
        slot.action = request.action();
        slot.route = message.keep_route();
        if (budgets_.over(peer.connection->holdings, for_callbacks(slot), weight)) {
            responder_.answer_busy(request, slot.answer);
            make_ready(peer, slot, peer.slots.size() > 1);
            advance(peer, now);
            return;
        }
        slot.body = message.take_body();
        slot.weight = weight;
        budgets_.charge(peer.connection->holdings, for_callbacks(slot), weight);
        if (for_callbacks(slot) && begins && !responder_.stopping()) {
            enqueue(peer, slot, request);
        } else {
            advance(peer, now);
        }
    });
}

// ---- the line of a peer

// A peer that asks on without reading would make its line ever longer.
void PeerQueues::sweep(Peer& peer) noexcept {
    if (peer.dropped < most_dropped || peer.dropped < peer.slots.size() / 2) return;
    const auto is_dropped = [](const Slot& slot) { return slot.state == SlotState::dropped; };
    peer.slots.erase(std::remove_if(peer.slots.begin(), peer.slots.end(), is_dropped), peer.slots.end());
    peer.dropped = 0;
}

// Sends what is ready and begins what has come to the front. May forget the peer.
void PeerQueues::advance(Peer& peer, uint64_t now) {
    sweep(peer);
    while (!peer.slots.empty()) {
        Slot& front = peer.slots.front();
        if (front.state == SlotState::held) begin_front(peer, now);
        if (front.state == SlotState::queued) {
            enqueue_next(peer);
            return;
        }
        if (front.state == SlotState::waiting) return;
        if (front.state == SlotState::dropped) {
            peer.slots.pop_front();
            --peer.dropped;
            continue;
        }
        Answer& answer = front.answer;
        const Sent sent = send(*front.route.connection, front.route.frames, answer);
        if (sent == Sent::full) {
            park(peer, now);
            return;
        }
        if (sent == Sent::gone) break;
        accounts_.sent(answer, *peer.connection, front.arrived);
        budgets_.unpark(peer.connection->holdings, front.parked);
        peer.slots.pop_front();
        progress_ = true;
    }
    forget(peer);
}

void PeerQueues::begin_front(Peer& peer, uint64_t now) {
    Slot& slot = peer.slots.front();
    const Request& request = inspect(slot);
    switch (responder_.begin(request, now, slot.ticket, slot.answer)) {
        case Step::ready: make_ready(peer, slot); break;
        case Step::python: enqueue(peer, slot, request); break;
        case Step::waiting:
            waiting_.push_back(&peer);
            peer.waiting = true;
            slot.state = SlotState::waiting;
            slot.deadline = now + refresh_timeout_ns_;
            waiting_at_ = std::min(waiting_at_, slot.deadline);
            break;
    }
}

void PeerQueues::enqueue(Peer& peer, Slot& slot, const Request& request) {
    if (slot.action != request.action()) {  // its command got another handler while it waited
        const size_t weight = slot.weight;
        discharge(peer, slot);
        slot.action = request.action();
        slot.weight = weight;
        budgets_.charge(peer.connection->holdings, for_callbacks(slot), weight);
    }
    Job job;
    job.id = ++last_job_;
    job.role = request.role;
    job.key = slot.route.connection->key();
    if (job.key == no_key && responder_.tells_roles_apart()) job.address = slot.route.connection->peer_address();
    job.strict = request.verdict != LS_OPAQUE;
    job.one_frame = slot.one_frame;
    job.body = std::move(slot.body);
    jobs_[job.id] = {&peer, slot.weight, for_callbacks(slot)};
    try {
        slot.id = job.id;
        (for_callbacks(slot) ? queues_.callbacks : queues_.builtin).push(std::move(job));
    } catch (const std::bad_alloc&) {
        jobs_.erase(slot.id);
        throw;
    }
    slot.state = SlotState::queued;
}

// Requests that run the program's code follow one another into the queue; any other behind them waits,
// so that it sees what they did, and they wait for it.
void PeerQueues::enqueue_next(Peer& peer) {
    if (responder_.stopping()) return;
    size_t at = peer.slots.size();
    while (peer.slots[at - 1].state == SlotState::held) --at;  // the front is queued
    if (peer.slots[at - 1].state != SlotState::queued || !for_callbacks(peer.slots[at - 1])) return;
    for (; at < peer.slots.size(); ++at) {
        Slot& slot = peer.slots[at];
        const Request& request = inspect(slot);
        if (request.action() != Action::python) return;
        slot.answer.command = request.command != nullptr ? request.command->index : 0;
        enqueue(peer, slot, request);
    }
}

// The answer is complete; where too much waits for its connection already, it is dropped.
void PeerQueues::make_ready(Peer& peer, Slot& slot, bool busy_behind) noexcept {
    discharge(peer, slot);
    slot.body = Message();
    const size_t size = slot.answer.size() + overhead_of(slot.route.frames);
    if (!budgets_.has_room(*peer.connection, size, busy_behind)) {
        abandon(slot.answer, *peer.connection, ErrorKind::reply_overflow);
        slot.answer.reply = Message();
        slot.answer.arrays.clear();
        const Route given_up = std::move(slot.route);
        slot.state = SlotState::dropped;
        ++peer.dropped;
        return;
    }
    slot.state = SlotState::ready;
    slot.parked = size;
    budgets_.park(peer.connection->holdings, size);
}

void PeerQueues::discharge(Peer& peer, Slot& slot) noexcept {
    if (slot.weight == 0) return;
    Budgets::leave(peer.connection->holdings, slot.weight);
    budgets_.release(for_callbacks(slot), slot.weight);
    slot.weight = 0;
}

// It is owed nothing, or it has gone and its answers with it.
void PeerQueues::forget(Peer& peer) noexcept {
    const ConnectionRef connection = peer.connection;
    Holdings& holdings = connection->holdings;
    for (Slot& slot : peer.slots) {
        if (slot.state == SlotState::dropped) continue;
        abandon(slot.answer, *connection, ErrorKind::unroutable);
        if (slot.state == SlotState::ready) budgets_.unpark(holdings, slot.parked);
        const auto job = slot.state == SlotState::queued ? jobs_.find(slot.id) : jobs_.end();
        if (job == jobs_.end()) {
            discharge(peer, slot);
        } else {
            job->second.peer = nullptr;  // still in the queue, and counted there
            Budgets::leave(holdings, slot.weight);
        }
    }
    if (peer.waiting) remove_from(waiting_, &peer);
    if (peer.parked) {
        remove_from(parked_, &peer);
        --holdings.parked_peers;
    }
    peers_.erase(peers_.find(peer.key));
    if (--holdings.peers == 0) router_.settled(*connection);
}

// ---- Python's replies

Slot* PeerQueues::slot_of(Peer& peer, uint64_t id) noexcept {
    for (Slot& slot : peer.slots) {
        if (slot.state == SlotState::queued && slot.id == id) return &slot;
    }
    return nullptr;
}

Route* PeerQueues::route_of(uint64_t job) noexcept {
    const auto found = jobs_.find(job);
    if (found == jobs_.end() || found->second.peer == nullptr) return nullptr;
    return &slot_of(*found->second.peer, job)->route;
}

Slot* PeerQueues::take_job(uint64_t id, Peer*& peer) noexcept {
    const auto job = jobs_.find(id);
    if (job == jobs_.end()) return nullptr;
    const Owed owed = job->second;
    jobs_.erase(job);
    peer = owed.peer;
    if (peer != nullptr) return slot_of(*peer, id);
    budgets_.release(owed.for_callbacks, owed.weight);  // its peer has gone
    return nullptr;
}

// Where somebody waits for the job still.
template <typename Answering>
void PeerQueues::finish_job(uint64_t id, uint64_t now, Answering answering) {
    Peer* peer = nullptr;
    Slot* const slot = take_job(id, peer);
    if (slot == nullptr) return;
    forget_without_memory(*peer, [&] {
        answering(slot->answer, *peer->connection);
        make_ready(*peer, *slot);
        advance(*peer, now);
    });
}

void PeerQueues::finish(PythonReply& reply, uint64_t now) {
    finish_job(reply.id, now, [&](Answer& answer, const Connection& to) {
        if (responder_.finish(reply, answer)) return;
        abandon(answer, to, ErrorKind::no_memory);
        if (!answer.reply.allocate(0)) throw std::bad_alloc();
    });
    responder_.put_back(reply.taken);  // nobody was there to take it
}

void PeerQueues::finish_busy(uint64_t job, uint64_t now) {
    finish_job(job, now, [&](Answer& answer, const Connection&) { responder_.answer_busy(Request{}, answer); });
}

void PeerQueues::refuse_unbegun(uint64_t now) {
    for (JobQueue* const queue : {&queues_.callbacks, &queues_.builtin}) {
        for (Job& job : queue->close()) {
            const Request& request = responder_.inspect(job.body.view(), job.one_frame, job.role);
            finish_job(job.id, now, [&](Answer& answer, const Connection&) { responder_.answer_stopping(request, answer); });
        }
    }
}

void PeerQueues::give_up_begun(uint64_t now) {
    while (!jobs_.empty()) {
        finish_job(jobs_.begin()->first, now, [&](Answer& answer, const Connection&) { responder_.answer_stopping_begun(answer); });
    }
}

// ---- what waits

void PeerQueues::work(uint64_t now) {
    if (!waiting_.empty() && now >= waiting_at_) serve_waiting(now);
    if (!parked_.empty() && now >= retry_at_) retry_parked(now);
}

uint64_t PeerQueues::due() const noexcept {
    uint64_t next = waiting_.empty() ? UINT64_MAX : waiting_at_;
    if (!parked_.empty()) next = std::min(next, retry_at_);
    return next;
}

void PeerQueues::serve_waiting(uint64_t now) {
    std::vector<Peer*> batch, unserved;
    // Each of them waits on, or anew, or not: so there is room for all, and nobody is lost.
    batch.reserve(waiting_.size());
    unserved.reserve(waiting_.size());
    batch.swap(waiting_);
    waiting_at_ = UINT64_MAX;
    for (Peer* peer : batch) {
        try {
            if (serve_waiting_peer(*peer, now)) continue;
            unserved.push_back(peer);
            waiting_at_ = std::min(waiting_at_, peer->slots.front().deadline);
        } catch (const std::bad_alloc&) {
            tally(counters_.of(ErrorKind::no_memory));
            forget(*peer);
        }
    }
    // In the order they came; those that began to wait meanwhile come last.
    waiting_.insert(waiting_.begin(), unserved.begin(), unserved.end());
}

// False: it has to wait on.
bool PeerQueues::serve_waiting_peer(Peer& peer, uint64_t now) {
    Slot& slot = peer.slots.front();
    const Request& request = inspect(slot);
    switch (responder_.go_on(request, now, slot.ticket, slot.deadline, slot.answer)) {
        case Step::waiting: return false;
        case Step::ready: make_ready(peer, slot); break;
        case Step::python: slot.state = SlotState::held; break;  // its handler was changed: begin anew
    }
    peer.waiting = false;
    advance(peer, now);
    return true;
}

// ---- answers for which there is no room

void PeerQueues::park(Peer& peer, uint64_t now) {
    if (peer.parked) return;
    parked_.push_back(&peer);
    peer.parked = true;
    ++peer.connection->holdings.parked_peers;
    if (parked_.size() > 1) return;
    retry_after_ = router_.retry_ns();
    retry_at_ = retry_after_ == UINT64_MAX ? UINT64_MAX : now + retry_after_;
}

void PeerQueues::room(uint64_t now) {
    if (!parked_.empty()) retry_parked(now);
}

void PeerQueues::retry_parked(uint64_t now) {
    std::vector<Peer*> batch;
    batch.swap(parked_);
    progress_ = false;
    const uint64_t patience = retry_after_;
    for (Peer* peer : batch) {
        peer->parked = false;
        --peer->connection->holdings.parked_peers;
        try {
            advance(*peer, now);
        } catch (const std::bad_alloc&) {
            tally(counters_.of(ErrorKind::no_memory));
            forget(*peer);
        }
    }
    if (patience == UINT64_MAX) return;
    retry_after_ = progress_ ? router_.retry_ns() : std::min(2 * patience, last_retry_ns);
    retry_at_ = now + retry_after_;
}

void PeerQueues::abandon(Answer& answer, const Connection& to, ErrorKind kind) noexcept {
    responder_.put_back(answer.taken);
    accounts_.lost(answer, to, kind);
}

}  // namespace laplace
