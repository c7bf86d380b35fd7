// The loop's part for peers that are owed answers: their lines, budgets and connections.
#include <algorithm>
#include <utility>

#include "loop.h"

namespace laplace {

namespace {

constexpr size_t slot_overhead = 1024;   // memory of a slot and of its peer, roughly
constexpr size_t many_connections = 64;  // when to look for records of no use

template <typename Value>
void remove_from(std::vector<Value>& list, Value value) noexcept {
    list.erase(std::remove(list.begin(), list.end(), value), list.end());
}

// Bytes a slot holds beside its body or answer.
size_t overhead_of(const Message* route, size_t route_size) noexcept {
    return slot_overhead + size_of(route, route_size) + route_size * sizeof(Message);
}

}  // namespace

Peer& Loop::peer_of(size_t delimiter) {
    route_key(frames_.data(), delimiter, key_);
    const auto [entry, is_new] = peers_.try_emplace(key_);
    Peer& peer = entry->second;
    if (is_new) {
        peer.key = key_;
        peer.connection_id = frames_[0].view();
        peer.connection = &connection_of(peer.connection_id);
        ++peer.connection->peers;
    }
    return peer;
}

Connection& Loop::connection_of(std::string_view id) {
    const auto [entry, is_new] = connections_.try_emplace(std::string(id));
    if (is_new && connections_.size() % many_connections == 0) {
        for (auto other = connections_.begin(); other != connections_.end();) {
            const Connection& connection = other->second;
            const bool unused = connection.peers == 0 && connection.in_flight->load() == 0;
            other = unused && other != entry ? connections_.erase(other) : std::next(other);
        }
    }
    return entry->second;
}

bool Loop::over_limit(const Peer& peer, const Budget& budget, size_t weight) const noexcept {
    const Limits& limits = shared_.config.limits;
    if (budget.count == 0) return false;  // whatever its size, one request always fits
    if (budget.count >= limits.pending || budget.bytes + weight > limits.pending_bytes) return true;
    const Connection& connection = *peer.connection;
    if (connection.pending == 0) return false;
    return connection.pending >= limits.peer_pending ||
           connection.pending_bytes + weight > limits.peer_pending_bytes;
}

void Loop::charge(Peer& peer, Slot& slot) noexcept {
    ++peer.connection->pending;
    peer.connection->pending_bytes += slot.weight;
    Budget& budget = budget_of(slot.for_python);
    ++budget.count;
    budget.bytes += slot.weight;
    count_pending();
}

void Loop::discharge(Peer& peer, Slot& slot) noexcept {
    if (slot.weight == 0) return;
    --peer.connection->pending;
    peer.connection->pending_bytes -= slot.weight;
    release(budget_of(slot.for_python), slot.weight);
    slot.weight = 0;
}

void Loop::release(Budget& budget, size_t weight) noexcept {
    --budget.count;
    budget.bytes -= weight;
    count_pending();
}

void Loop::count_pending() noexcept {
    Counters& counters = shared_.counters;
    const size_t pending = for_python_.count + for_reading_.count;
    counters.pending.store(pending, std::memory_order_relaxed);
    counters.pending_bytes.store(for_python_.bytes + for_reading_.bytes, std::memory_order_relaxed);
    raise_to(counters.pending_high_water, pending);
}

// Puts a request at the end of its peer's line.
void Loop::append(Peer& peer, size_t route_size, Message& body, const Request& request, const Ticket& ticket) {
    const size_t weight = body.size() + overhead_of(frames_.data(), route_size);

    Slot slot;
    slot.arrived = arrived_;
    slot.one_frame = request.one_frame;
    slot.ticket = ticket;
    slot.answer.command = request.command != nullptr ? request.command->index : 0;
    slot.for_python = request.command == nullptr || request.command->action == ACTION_PYTHON;
    const bool busy = over_limit(peer, budget_of(slot.for_python), weight);
    if (busy) {
        answer_error(request, table_->busy, ERROR_BUSY, slot.answer);
    } else {
        slot.body = std::move(body);
        slot.weight = weight;
    }
    move_route(slot, route_size);
    const bool follows_python = peer.slots.empty() || peer.slots.back().state == SlotState::queued;
    peer.slots.push_back(std::move(slot));
    Slot& placed = peer.slots.back();
    if (busy) {
        make_ready(peer, placed);
        advance(peer);
        return;
    }
    charge(peer, placed);
    if (placed.for_python && follows_python && !stopping_) {
        enqueue(peer, placed, request.verdict != LS_OPAQUE);
    } else {
        advance(peer);
    }
}

// Sends what is ready and begins what has come to the front. May forget the peer.
void Loop::advance(Peer& peer) {
    while (!peer.slots.empty()) {
        Slot& front = peer.slots.front();
        if (front.state == SlotState::held) begin_front(peer);
        if (front.state == SlotState::queued) {
            enqueue_followers(peer);
            return;
        }
        if (front.state == SlotState::waiting) return;
        if (front.state == SlotState::dropped) {
            peer.slots.pop_front();
            continue;
        }
        const Sent sent = send(front.route.data(), front.route.size(), front.answer);
        if (sent == Sent::full) {
            park(peer);
            return;
        }
        if (sent == Sent::gone) break;
        account(front.answer, front.arrived);
        unpark(peer, front);
        peer.slots.pop_front();
        progress_ = true;
    }
    forget(peer);
}

void Loop::park(Peer& peer) {
    if (peer.parked) return;
    parked_.push_back(&peer);
    peer.parked = true;
    ++peer.connection->parked_peers;
    if (parked_.size() > 1) return;
    retry_after_ = first_retry_ns;
    retry_at_ = now_ns() + retry_after_;
}

void Loop::begin_front(Peer& peer) {
    Slot& slot = peer.slots.front();
    const Request request = inspect(slot.body, slot.one_frame);
    switch (begin(request, slot.ticket, slot.answer)) {
        case Step::ready: make_ready(peer, slot); break;
        case Step::python: enqueue(peer, slot, request.verdict != LS_OPAQUE); break;
        case Step::waiting:
            slot.state = SlotState::waiting;
            slot.deadline = now_ns() + static_cast<uint64_t>(shared_.config.refresh_timeout_ms) * ns_per_ms;
            waiting_.push_back(&peer);
            waiting_at_ = std::min(waiting_at_, slot.deadline);
            peer.waiting = true;
            break;
    }
}

void Loop::enqueue(Peer& peer, Slot& slot, bool strict) {
    if (!slot.for_python) {  // its command got a handler while it waited
        const size_t weight = slot.weight;
        discharge(peer, slot);
        slot.for_python = true;
        slot.weight = weight;
        charge(peer, slot);
    }
    Job job;
    job.id = ++next_job_;
    job.strict = strict;
    job.one_frame = slot.one_frame;
    job.body = std::move(slot.body);
    jobs_[job.id] = {&peer, slot.weight};
    slot.id = job.id;
    slot.state = SlotState::queued;
    shared_.inbox.push(std::move(job));
}

// Requests for Python follow one another into the queue; a native one behind them
// waits, so that it sees what they did.
void Loop::enqueue_followers(Peer& peer) {
    if (stopping_) return;
    size_t at = peer.slots.size();
    while (peer.slots[at - 1].state == SlotState::held) --at;  // the front is queued
    if (peer.slots[at - 1].state != SlotState::queued) return;
    for (; at < peer.slots.size(); ++at) {
        Slot& slot = peer.slots[at];
        const Request request = inspect(slot.body, slot.one_frame);
        if (request.command != nullptr && request.command->action != ACTION_PYTHON) return;
        slot.answer.command = request.command != nullptr ? request.command->index : 0;
        enqueue(peer, slot, request.verdict != LS_OPAQUE);
    }
}

// The answer is complete; where too much waits for its connection already, it is dropped.
void Loop::make_ready(Peer& peer, Slot& slot) {
    discharge(peer, slot);
    slot.body = Message();
    const size_t parked = peer.connection->parked_bytes;
    const size_t size = slot.answer.size() + overhead_of(slot.route.data(), slot.route.size());
    if (parked > 0 && parked + size > shared_.config.limits.peer_parked_bytes) {
        abandon(slot.answer, ERROR_REPLY_OVERFLOW);
        slot.answer.reply = Message();
        slot.answer.arrays.clear();
        slot.route.clear();
        slot.state = SlotState::dropped;
        return;
    }
    slot.state = SlotState::ready;
    slot.parked = size;
    peer.connection->parked_bytes += size;
    shared_.counters.parked_bytes.fetch_add(size, std::memory_order_relaxed);
}

void Loop::unpark(Peer& peer, const Slot& slot) noexcept {
    peer.connection->parked_bytes -= slot.parked;
    shared_.counters.parked_bytes.fetch_sub(slot.parked, std::memory_order_relaxed);
}

// It is owed nothing, or it has gone and its answers with it.
void Loop::forget(Peer& peer) {
    for (Slot& slot : peer.slots) {
        if (slot.state == SlotState::dropped) continue;
        abandon(slot.answer, ERROR_UNROUTABLE);
        if (slot.state == SlotState::ready) unpark(peer, slot);
        if (slot.state == SlotState::queued) {
            jobs_[slot.id].peer = nullptr;  // still in the queue, and counted there
            --peer.connection->pending;
            peer.connection->pending_bytes -= slot.weight;
        } else {
            discharge(peer, slot);
        }
    }
    if (peer.waiting) remove_from(waiting_, &peer);
    Connection& connection = *peer.connection;
    if (peer.parked) {
        remove_from(parked_, &peer);
        --connection.parked_peers;
    }
    if (--connection.peers == 0 && connection.in_flight->load() == 0) {
        connections_.erase(connections_.find(peer.connection_id));
    }
    peers_.erase(peers_.find(peer.key));
}

}  // namespace laplace
