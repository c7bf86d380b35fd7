#include "transport/tcp_connections.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/clock.h"
#include "tcp/listener.h"
#include "zmtp/commands.h"

namespace laplace {

namespace {

constexpr int backlog = 4096;           // the system may allow fewer
constexpr size_t room_below = 64 * 1024;  // bytes that wait
constexpr int most_accepted = 64;       // before those that are there are served
constexpr size_t much_freed = 1024 * 1024;
constexpr uint64_t pause_ns = 50 * ns_per_ms;        // out of descriptors, until it tries again
constexpr uint64_t finish_ns = 1000 * ns_per_ms;     // for an error answer to be read

}  // namespace

TcpConnections::TcpConnections(const Limits& limits, Poller::Kind poller, RefusalHandler on_refused,
                               Counters& counters)
    : limits_(limits), on_refused_(std::move(on_refused)), counters_(counters), poller_(poller) {}

int TcpConnections::open(const std::string& address, std::string& endpoint) noexcept {
    int error = network_.open();
    if (error == 0) error = poller_.open();
    if (error == 0) error = wake_up_.open();
    if (error != 0) return error;
    wake_up_watch_.descriptor = wake_up_.descriptor();
    wake_up_watch_.what = &wake_up_;
    error = poller_.add(wake_up_watch_, Interest::read);
    if (error == 0) error = open_listener(address, backlog, 0, listener_.descriptor, endpoint);
    if (error != 0) return error;
    listener_.what = &listener_;
    return poller_.add(listener_, Interest::read);
}

void TcpConnections::close_listener() noexcept {
    if (listener_.descriptor == no_descriptor) return;
    poller_.remove(listener_);
    close_listening_socket(std::exchange(listener_.descriptor, no_descriptor));
}

void TcpConnections::close_all() noexcept {
    close_listener();
    for_each([this](TcpConnection& connection) { close(connection); });
    if (wake_up_watch_.watched) poller_.remove(wake_up_watch_);
    wake_up_.close();
    poller_.close();
}

// ---- coming

void TcpConnections::accept(uint64_t now, Mechanism mechanism) noexcept {
    for (int i = 0; i < most_accepted; ++i) {
        Descriptor descriptor = no_descriptor;
        Address peer;
        const int error = accept_connection(listener_.descriptor, descriptor, peer);
        if (error == 0) {
            admit(descriptor, peer, now, mechanism);
            continue;
        }
        switch (classify_accept_error(error)) {
            case AcceptError::none_waiting: return;
            case AcceptError::try_again: break;
            case AcceptError::out_of_resources:
                // Without a descriptor nobody is told whether any more wait. The first one does.
                if (i > 0) return;
                if (make_room()) break;
                pause(now);
                return;
            case AcceptError::failed: pause(now); return;
        }
    }
}

void TcpConnections::admit(Descriptor descriptor, const Address& peer, uint64_t now, Mechanism mechanism) noexcept {
    Refusal reason = Refusal::no_memory;
    if (count_ >= limits_.all && !make_room()) {
        reason = Refusal::connections;
    } else if (!count_address(peer)) {
        reason = Refusal::address;
    } else if (begin(descriptor, peer, now, mechanism)) {
        return;
    } else {
        forget_address(peer);
    }
    refused(reason, peer);
    close_socket(descriptor);
}

bool TcpConnections::begin(Descriptor descriptor, const Address& peer, uint64_t now, Mechanism mechanism) noexcept {
    auto* const connection = new (std::nothrow) TcpConnection(descriptor, peer, limits_.messages);
    if (connection == nullptr) return false;
    const ConnectionRef kept(connection);
    // Some systems refuse these where the peer has gone already, and then receiving tells.
    set_no_delay(descriptor);
    set_keepalive(descriptor, usual_keepalive);
    if (poller_.add(connection->watch, Interest::read) != 0) return false;
    // The greeting fits: nothing was sent yet.
    const std::string_view whole = zmtp::greeting();
    const std::string_view greeting =
        mechanism == Mechanism::open ? whole.substr(0, zmtp::greeting_in_common) : whole;
    const IoResult sent = send_bytes(descriptor, greeting.data(), greeting.size());
    if (sent.state != IoState::moved || sent.bytes != greeting.size()) {
        poller_.remove(connection->watch);
        return false;
    }
    connection->mechanism = mechanism;
    connection->heard = now;
    TcpConnection::keep(*connection);
    handshaking_.take(*connection, now);
    ++count_;
    add(counters_.connections);
    add(counters_.connections_total);
    return true;
}

// Closes one that asks for nothing, for another one. False: all of them have asked. Who is refused goes before
// those who may not be, and who has shown a key last: else strangers, as long as they come, would keep out
// everybody before the first request.
bool TcpConnections::make_room() noexcept {
    for (ConnectionList* const list : {&silent_, &finishing_, &handshaking_, &known_}) {
        TcpConnection* const oldest = list->first();
        if (oldest == nullptr) continue;
        if (list != &finishing_) refuse(*oldest, Refusal::displaced);
        close(*oldest);
        return true;
    }
    return false;
}

bool TcpConnections::count_address(const Address& peer) noexcept {
    if (limits_.of_address == SIZE_MAX) return true;
    try {
        size_t& count = of_address_[peer.host_key()];
        if (count >= limits_.of_address) return false;
        ++count;
        return true;
    } catch (const std::bad_alloc&) {
        return false;
    }
}

void TcpConnections::forget_address(const Address& peer) noexcept {
    if (limits_.of_address == SIZE_MAX) return;
    const auto found = of_address_.find(peer.host_key());
    if (found != of_address_.end() && --found->second == 0) of_address_.erase(found);
}

void TcpConnections::refused(Refusal reason, const Address& peer, std::string_view key) noexcept {
    constexpr size_t scheme = sizeof "tcp://" - 1;
    tally(counters_.of(reason));
    if (!on_refused_) return;
    std::string endpoint;
    const bool known = peer.write_endpoint(endpoint) == 0;
    on_refused_(reason, known ? std::string_view(endpoint).substr(scheme) : std::string_view(), key);
}

// No descriptor is left: those that wait are not told of until there may be one.
void TcpConnections::pause(uint64_t now) noexcept {
    poller_.change(listener_, Interest::none);
    paused_until_ = now + pause_ns;
}

void TcpConnections::resume() noexcept {
    if (paused_until_ == 0 || listener_.descriptor == no_descriptor) return;
    poller_.change(listener_, Interest::read);
    paused_until_ = 0;
}

// ---- being there

void TcpConnections::note_waiting(TcpConnection& connection) noexcept {
    // A difference that is negative wraps round, as unsigned numbers do.
    counters_.waiting_bytes.fetch_add(static_cast<uint64_t>(connection.note_waiting()), std::memory_order_relaxed);
}

void TcpConnections::watch(TcpConnection& connection) noexcept {
    note_waiting(connection);
    if (connection.gives_room(room_below)) changed_ = true;
    const auto read = connection.has_ended() || connection.awaits_turn ? Interest::none : Interest::read;
    const auto write = connection.waiting() == 0 ? Interest::none : Interest::write;
    const auto both = static_cast<Interest>(static_cast<unsigned>(read) | static_cast<unsigned>(write));
    if (stands_in_ && connection.watch.interest != both) loop_must_look_ = true;
    if (poller_.change(connection.watch, both) != 0) close(connection);
}

void TcpConnections::lives(TcpConnection& connection, uint64_t ttl_ns) noexcept {
    connection.ttl_ns = ttl_ns;
    if (ttl_ns != 0) ttl_due_ = std::min(ttl_due_, connection.heard + ttl_ns);
}

// ---- going

void TcpConnections::end(TcpConnection& connection) noexcept {
    connection.set_ended();
    connection.client.end(true, now_ns());
    counters_.connections.fetch_sub(1, std::memory_order_relaxed);
    watch(connection);
}

void TcpConnections::finish(TcpConnection& connection, uint64_t now) noexcept {
    connection.ttl_ns = 0;
    finishing_.take(connection, now);
}

void TcpConnections::close(TcpConnection& connection) noexcept {
    if (is_closed(connection)) return;
    connection.set_open(false);
    if (stands_in_) {  // the poller may be about to tell of it
        doomed_.take(connection, 0);
        loop_must_look_ = true;
        return;
    }
    const ConnectionRef kept(&connection);
    ConnectionList::remove(connection);
    poller_.remove(connection.watch);
    close_socket(std::exchange(connection.watch.descriptor, no_descriptor));
    const Holdings& held = connection.holdings;
    freed_ += connection.unsent() + connection.held() + held.pending_bytes + held.parked_bytes;
    connection.release();
    connection.client.end(true, now_ns());
    note_waiting(connection);
    forget_address(connection.peer);
    --count_;
    if (!connection.has_ended()) counters_.connections.fetch_sub(1, std::memory_order_relaxed);
    changed_ = true;
    resume();
    TcpConnection::let_go(connection);
}

bool TcpConnections::take_freed() noexcept {
    if (freed_ < much_freed) return false;
    freed_ = 0;
    return true;
}

uint64_t TcpConnections::due() const noexcept {
    uint64_t next = ttl_due_;
    if (!handshaking_.empty()) next = std::min(next, handshaking_.first()->since + limits_.handshake_ns);
    if (!finishing_.empty()) next = std::min(next, finishing_.first()->since + finish_ns);
    if (paused_until_ != 0) next = std::min(next, paused_until_);
    return next;
}

void TcpConnections::expire(uint64_t now) noexcept {
    while (!handshaking_.empty() && now >= handshaking_.first()->since + limits_.handshake_ns) {
        refuse(*handshaking_.first(), Refusal::handshake_timeout);
        close(*handshaking_.first());
    }
    while (!finishing_.empty() && now >= finishing_.first()->since + finish_ns) close(*finishing_.first());
    if (now >= ttl_due_) expire_ttl(now);
    if (paused_until_ != 0 && now >= paused_until_) resume();
}

// Few say how long they live, and seldom: all are looked through.
void TcpConnections::expire_ttl(uint64_t now) noexcept {
    ttl_due_ = UINT64_MAX;
    for_each([this, now](TcpConnection& connection) {
        if (connection.ttl_ns == 0) return;
        const uint64_t end = connection.heard + connection.ttl_ns;
        if (now < end) {
            ttl_due_ = std::min(ttl_due_, end);
        } else {
            refuse(connection, Refusal::heartbeat);
            close(connection);
        }
    });
}

}  // namespace laplace
