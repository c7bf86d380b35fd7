#include "transport/tcp_router.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "transport/reasons.h"
#include "zmtp/commands.h"
#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t received_size = 64 * 1024;  // bytes of one receive at most; then it is the next peer's turn
constexpr size_t most_taken = 256;           // messages of one receive, once it is known how small they are
constexpr size_t least_received = 512;       // bytes of one receive, of however small messages
constexpr size_t direct_size = 1024 * 1024;  // the same, of a body that is read into its own memory

}  // namespace

TcpRouter::TcpRouter(const TcpConnections::Limits& limits, Poller::Kind poller, RefusalHandler on_refused,
                     const Admission& admission, WakeUp& wake_up, Counters& counters)
    : Router(wake_up, counters),
      connections_(limits, poller, std::move(on_refused), counters),
      admission_(admission),
      received_(new char[received_size]),
      run_(new char[run_capacity]) {}

int TcpRouter::open(const std::string& address) noexcept {
    const int error = connections_.open(address, endpoint_);
    if (error != 0) return error;
    wake_up_.set_alarm(this);
    holds_port_.store(true);
    return 0;
}

// ---- receiving

Got TcpRouter::receive(Received& message, int wait_ms, bool may_spin, int& error) {
    error = 0;
    for (bool waited = false, heard = false;;) {
        if (reading_.get() != nullptr) {
            const Got got = read_on(message);
            if (got != Got::nothing) return got;
        }
        PollEvent event;
        if (connections_.poller().next(event)) {
            serve(event);
            continue;
        }
        flush_run();
        if (!heard && !handshakes_.empty()) {
            hear_next();
            heard = true;
            continue;
        }
        // Somebody waits for room that there is now: the loop has to hear of it before it sleeps.
        if (waited || connections_.has_change() || !wait(wait_ms, may_spin, error)) return Got::nothing;
        waited = true;
    }
}

// Until something happens. False: nothing did, or it is not to be waited for.
bool TcpRouter::wait(int wait_ms, bool may_spin, int& error) noexcept {
    Poller& poller = connections_.poller();
    if (!handshakes_.empty()) wait_ms = 0;
    const uint64_t due = connections_.due();
    uint64_t now = 0;
    if (due != UINT64_MAX) {
        now = now_ns();
        if (now >= due) {
            connections_.expire(now);
            return true;
        }
        const uint64_t left_ms = (due - now + ns_per_ms - 1) / ns_per_ms;
        if (wait_ms < 0 || left_ms < static_cast<uint64_t>(wait_ms)) {
            wait_ms = static_cast<int>(std::min<uint64_t>(left_ms, INT32_MAX));
        }
    }
    if (wait_ms != 0 && may_spin && spin_.brisk()) {
        for (;;) {
            error = poller.wait(0);
            if (error != 0) return false;
            if (PollEvent event; poller.next(event)) {
                serve(event);
                return true;
            }
            if (wake_up_.wanted()) {
                spin_.interrupted();
                return false;
            }
            now = now_ns();
            if (!spin_.again(now)) break;
            std::this_thread::yield();
        }
    } else {
        if (now == 0) now = now_ns();
        spin_.sleep(now);
    }
    if (wait_ms != 0) return sleep(wait_ms, now, error);
    error = poller.wait(0);
    return error == 0;
}

// Others may work in the loop's place meanwhile.
bool TcpRouter::sleep(int wait_ms, uint64_t now, int& error) noexcept {
    if (!wake_up_.fall_asleep()) return false;
    sleeps_until_ = wait_ms < 0 ? UINT64_MAX : now + ns_of_ms(wait_ms);
    connections_.poller().prepare();
    if (lends_turn_) wake_up_.turn.lend();
    error = connections_.poller().wait_prepared(wait_ms);
    if (lends_turn_) wake_up_.turn.take_back();
    wake_up_.awake();
    connections_.close_doomed();
    return error == 0;
}

bool TcpRouter::stood_in(uint64_t due) noexcept {
    flush_run();
    const uint64_t next = std::min(due, connections_.due());  // the sleep was rounded up to milliseconds
    return connections_.stood_in() && (next >= sleeps_until_ || sleeps_until_ - next <= ns_per_ms);
}

void TcpRouter::serve(const PollEvent& event) noexcept {
    if (connections_.is_wake_up(event.what)) {
        connections_.wake_up().clear();
        spin_.interrupted();
        return;
    }
    if (connections_.is_listener(event.what)) {
        spin_.interrupted();
        connections_.accept(now_ns(), terms().keys == nullptr ? Mechanism::null : Mechanism::open);
        return;
    }
    TcpConnection& connection = *static_cast<TcpConnection*>(event.what);
    const ConnectionRef kept(&connection);
    if (event.writable) write(connection);
    if (event.readable && connection.in_curve_handshake()) {
        handshakes_.push(connection);
        connections_.watch(connection);
    } else if (event.readable) {
        read(connection);
    } else if (event.broken) {
        connections_.close(connection);
    }
}

void TcpRouter::read(TcpConnection& connection) noexcept {
    // Before the next request, whether or not the loop has been woken for it.
    if (admission_.epoch() != reviewed_epoch_) review();
    if (TcpConnections::is_closed(connection) || connection.has_ended()) return;
    if (connections_.is_finishing(connection)) {
        discard(connection);
        return;
    }
    if (connection.mechanism != Mechanism::null) {
        read_sealed(connection);
        return;
    }
    Room room = connection.reader.room();
    const bool direct = room.size > 0;
    if (!direct) room = {received_.get(), connection.receive_size};
    const size_t come = receive(connection, room);
    if (come == 0) return;
    at_ = end_ = received_.get();
    if (direct) {
        connection.reader.received(come);
    } else {
        received_end_ = end_ += come;
    }
}

// Returns how many bytes came.
inline size_t TcpRouter::receive(TcpConnection& connection, Room room) noexcept {
    const IoResult result = receive_bytes(connection.watch.descriptor, room.begin, std::min(room.size, direct_size));
    switch (result.state) {
        case IoState::would_block: return 0;
        case IoState::closed: end(connection); return 0;
        case IoState::failed: connections_.close(connection); return 0;
        case IoState::moved: break;
    }
    arrived_ = connection.heard = now_ns();
    taken_ = 0;
    received_end_ = nullptr;
    reading_ = ConnectionRef(&connection);
    return result.bytes;
}

void TcpRouter::read_sealed(TcpConnection& connection) noexcept {
    Room room = room_of(connection);
    const bool direct = room.size > 0;
    if (!direct) room = {received_.get(), most_of(connection)};
    const size_t come = receive(connection, room);
    if (come == 0) return;
    at_ = end_ = come_ = come_end_ = received_.get();
    if (direct) {
        connection.curve->reader().received(come);
    } else {
        received_end_ = come_end_ += come;
    }
}

// What still comes is read, since a socket that is closed before that resets the connection, and its peer
// might not read the answer.
void TcpRouter::discard(TcpConnection& connection) noexcept {
    const IoResult result = receive_bytes(connection.watch.descriptor, received_.get(), received_size);
    if (result.state == IoState::closed || result.state == IoState::failed) connections_.close(connection);
}

// Its peer sends nothing more; what it is owed may still reach it.
void TcpRouter::end(TcpConnection& connection) noexcept {
    connections_.end(connection);
    settle(connection);
}

Got TcpRouter::read_on(Received& message) {
    TcpConnection& connection = tcp(*reading_);
    MessageReader& reader = connection.reader;
    while (connection.is_open() && !connections_.is_finishing(connection)) {
        const MessageReader::Event event = reader.next(at_, end_);
        ++taken_;
        switch (event) {
            case MessageReader::Event::need_more:
                if (connection.mechanism != Mechanism::null && open_more(connection)) break;
                stop_reading(connection);
                return Got::nothing;
            case MessageReader::Event::ready: end_handshake(connection); break;
            case MessageReader::Event::ping:
                connections_.lives(connection, reader.conversation().ping_ttl() * 100 * ns_per_ms);
                answer_ping(connection);
                break;
            case MessageReader::Event::pong: break;
            case MessageReader::Event::message:
                connections_.asked(connection, arrived_);
                tally(counters_.bytes_in, reader.bytes());
                message.connection = &connection;
                message.route = reader.route();
                message.body = reader.body();
                message.one_frame = reader.one_frame();
                message.reader = &reader;
                message.arrived = arrived_;
                return Got::message;
            case MessageReader::Event::no_delimiter:
                connections_.asked(connection, arrived_);
                tally(counters_.bytes_in, reader.bytes());
                tally(counters_.of(ErrorKind::no_delimiter));
                break;
            case MessageReader::Event::too_large:
            case MessageReader::Event::too_many_frames:
            case MessageReader::Event::too_long_route:
                message.refusal = refusal_of(event);
                connections_.refuse(connection, message.refusal);
                message.connection = &connection;
                message.route = reader.route();
                message.body = {};
                message.one_frame = false;
                message.reader = nullptr;
                message.arrived = arrived_;
                if (!message.route.empty()) return Got::refused;
                finish(connection);
                break;
            case MessageReader::Event::no_memory: refuse(connection, Refusal::no_memory, {}); break;
            case MessageReader::Event::fault:
                refuse(connection, refusal_of(reader.conversation().fault()), reader.conversation().to_send());
                break;
        }
    }
    stop_reading();
    return Got::nothing;
}

// All that was received is used.
void TcpRouter::stop_reading(TcpConnection& connection) noexcept {
    size_t& size = connection.receive_size;
    if (taken_ > most_taken) {
        size = std::max(size / 2, least_received);
    } else if (received_end_ == received_.get() + size) {
        size = std::min(2 * size, received_size);
    }
    stop_reading();
}

void TcpRouter::stop_reading() noexcept {
    reading_ = ConnectionRef();
    at_ = end_ = nullptr;
    flush_run();
}

}  // namespace laplace
