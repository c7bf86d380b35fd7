// What TcpRouter sends: put together for one connection, or waiting in its outbox.

#include "transport/tcp_router.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "transport/reasons.h"
#include "zmtp/frames.h"

namespace laplace {

namespace {

constexpr size_t most_copied = 8 * 1024;  // bytes of a message; of a larger one its memory is sent
// To one peer, before the next one is served; half as much again where that is all. Each time its receiver
// wakes, so where no requests wait, fewer and larger ones cost less.
constexpr size_t most_written = 256 * 1024, most_written_in_calm = 1024 * 1024;
// The same of bytes that are sealed, which takes about half a millisecond for each MiB.
constexpr size_t most_sealed = 128 * 1024, most_sealed_in_calm = 512 * 1024;

}  // namespace

// It is of no more use: what is there to say is said, and that was it.
void TcpRouter::refuse(TcpConnection& connection, Refusal reason, std::string_view last_words,
                       std::string_view key) noexcept {
    connections_.refuse(connection, reason, key);
    try {
        put(connection, last_words);
    } catch (const std::bad_alloc&) {
    }
    connection.set_open(false);
    finish(connection);
}

Sent TcpRouter::send(Connection& to, std::string_view route, const Message& body,
                     const std::vector<Message>& more) {
    if (!to.is_open()) return Sent::gone;
    TcpConnection& connection = tcp(to);
    const size_t size = body.size() + size_of(more.data(), more.size());
    size_t encoded = route.size() + size + (1 + more.size()) * zmtp::max_header;
    if (connection.curve != nullptr) {
        encoded = Sealing::most_sealed(route, size) + more.size() * zmtp::CurveTraffic::head_size(most_copied);
    }
    const bool small = more.empty() && encoded <= most_copied;
    if (small && connection.waiting() == 0) {
        if (run_to_.get() != &to || run_size_ + encoded > run_capacity) {
            flush_run();
            if (!to.is_open()) return Sent::gone;
        }
    }
    if (small && connection.waiting() == 0) {
        if (run_to_.get() != &to) run_to_ = ConnectionRef(&to);
        char* out = run_.get() + run_size_;
        if (connection.curve == nullptr) {
            std::memcpy(out, route.data(), route.size());
            out = zmtp::encode_header(false, body.size(), out + route.size());
            if (body.size() > 0) std::memcpy(out, body.data(), body.size());
            out += body.size();
        } else {
            out = seal(connection, route, body, out);
            if (out == nullptr) return Sent::gone;
        }
        run_size_ = static_cast<size_t>(out - run_.get());
    } else {
        if (connection.waiting() > 0 && connection.waiting() + encoded > connections_.most_waiting()) {
            connection.ask_for_room();
            return Sent::full;
        }
        if (run_to_.get() == &to) flush_run();
        if (!to.is_open()) return Sent::gone;
        const bool waits = connection.waiting() > 0;
        connection.outbox.add(route, body, more);
        if (waits) {
            connections_.note_waiting(connection);
        } else {
            write(connection);
        }
        if (!to.is_open()) return Sent::gone;
        last_sent_ = now_ns();
    }
    tally(counters_.bytes_out, size);
    return Sent::yes;
}

// Returns what is behind it, null where the connection is over.
char* TcpRouter::seal(TcpConnection& connection, std::string_view route, const Message& body, char* out) noexcept {
    char* const behind = connection.curve->sealing().seal(route, body.view(), out);
    if (behind == nullptr) {
        connections_.refuse(connection, refusal_of(zmtp::CurveFault::unable));
        connections_.close(connection);
    }
    return behind;
}

// Bytes as they are: of the handshake, and answers to PING.
void TcpRouter::put(TcpConnection& to, std::string_view bytes) {
    if (bytes.empty() || TcpConnections::is_closed(to)) return;
    if (run_to_.get() != &to || run_size_ + bytes.size() > run_capacity) flush_run();
    if (TcpConnections::is_closed(to)) return;
    if (to.waiting() == 0) {
        run_to_ = ConnectionRef(&to);
        std::memcpy(run_.get() + run_size_, bytes.data(), bytes.size());
        run_size_ += bytes.size();
    } else {
        to.leaving().add(bytes);
        connections_.note_waiting(to);
    }
}

// Who is sent something anyway knows that we live.
void TcpRouter::answer_ping(TcpConnection& connection) {
    const std::string_view pong = connection.reader.conversation().to_send();
    if (connection.waiting() > 0) return;
    if (connection.curve == nullptr) {
        put(connection, pong);
        return;
    }
    char sealed[zmtp::CurveTraffic::sealed_size(zmtp::max_pong)];
    const char* const behind = connection.curve->sealing().seal_frame(pong, sealed);
    if (behind != nullptr) {
        put(connection, {sealed, static_cast<size_t>(behind - sealed)});
    } else {
        refuse(connection, refusal_of(zmtp::CurveFault::unable), {});
    }
}

// The clock is read once for all that leave together.
void TcpRouter::answered(uint64_t arrived) noexcept {
    if (run_size_ > 0) {
        ++run_answers_;
    } else {
        Router::answered(arrived);
    }
}

// Gives the network what was put together for one connection; what it does not take waits.
void TcpRouter::flush_run() noexcept {
    if (run_size_ == 0) return;
    const ConnectionRef to = std::move(run_to_);
    run_to_ = ConnectionRef();
    const size_t size = std::exchange(run_size_, 0);
    TcpConnection& connection = tcp(*to);
    last_sent_ = now_ns();
    if (run_answers_ > 0) counters_.native_latency.record(last_sent_ - arrived_, std::exchange(run_answers_, 0));
    if (TcpConnections::is_closed(connection)) return;
    const IoResult result = send_bytes(connection.watch.descriptor, run_.get(), size);
    if (result.state == IoState::failed) {
        connections_.close(connection);
        return;
    }
    const size_t left = result.state == IoState::moved ? result.bytes : 0;
    if (left < size) {
        try {
            connection.leaving().add({run_.get() + left, size - left});
        } catch (const std::bad_alloc&) {  // half a message must not be followed by another one
            connections_.refuse(connection, Refusal::no_memory);
            connections_.close(connection);
            return;
        }
        connections_.watch(connection);
    }
    settle(connection);
}

// Some of what waits.
void TcpRouter::write(TcpConnection& connection) noexcept {
    if (TcpConnections::is_closed(connection) || connection.unsent() == 0) return;
    if (connection.curve != nullptr && !seal_some(connection)) return;
    Outbox& leaving = connection.leaving();
    if (const size_t waiting = leaving.size(); waiting > 0) {
        Piece pieces[most_pieces];
        const size_t most = calm_ ? most_written_in_calm : most_written;
        const size_t count = leaving.next(pieces, waiting <= most + most / 2 ? waiting : most);
        const IoResult result = send_pieces(connection.watch.descriptor, pieces, count);
        if (result.state == IoState::failed) {
            connections_.close(connection);
            return;
        }
        if (result.state == IoState::moved) leaving.left(result.bytes);
    }
    connections_.watch(connection);
    settle(connection);
}

// Some of what waits in the clear. False: the connection is over, since what has a number must not be missing.
bool TcpRouter::seal_some(TcpConnection& connection) noexcept {
    const size_t most = calm_ ? most_sealed_in_calm : most_sealed;
    try {
        if (connection.curve->sealing().go_on(connection.outbox, most)) return true;
    } catch (const std::bad_alloc&) {
    }
    connections_.refuse(connection, Refusal::no_memory);
    connections_.close(connection);
    return false;
}

bool TcpRouter::flush(Connection& to) noexcept {
    if (run_to_.get() == &to) flush_run();
    return to.is_open();
}

void TcpRouter::finish(Connection& connection) noexcept {
    if (TcpConnections::is_closed(tcp(connection))) return;
    connections_.finish(tcp(connection), now_ns());
    if (run_to_.get() == &connection) flush_run();
    settle(tcp(connection));
}

void TcpRouter::settled(Connection& connection) noexcept {
    if (connection.has_ended() || connections_.is_finishing(tcp(connection))) settle(tcp(connection));
}

// Nothing waits to be sent to it, and it is owed nothing: where that was the last thing, it is closed, or
// its peer told so.
void TcpRouter::settle(TcpConnection& connection) noexcept {
    if (TcpConnections::is_closed(connection) || connection.unsent() > 0 || run_to_.get() == &connection) return;
    if (connection.is_open() && connection.holdings.peers > 0) return;
    if (connection.has_ended()) {
        connections_.close(connection);
    } else if (connections_.is_finishing(connection)) {
        connection.set_open(false);
        shut_down_sending(connection.watch.descriptor);
    }
}

// ---- the end

// Until what waits has left.
void TcpRouter::linger(uint64_t deadline) noexcept {
    Poller& poller = connections_.poller();
    for (uint64_t now = now_ns(); counters_.waiting_bytes.load() > 0 && now < deadline; now = now_ns()) {
        if (poller.wait(static_cast<int>((deadline - now + ns_per_ms - 1) / ns_per_ms)) != 0) return;
        for (PollEvent event; poller.next(event);) {
            if (connections_.is_wake_up(event.what)) {
                connections_.wake_up().clear();
                continue;
            }
            TcpConnection& connection = *static_cast<TcpConnection*>(event.what);
            const ConnectionRef kept(&connection);
            if (event.writable) write(connection);
            if (TcpConnections::is_closed(connection)) continue;
            if (event.readable) {
                discard(connection);
            } else if (event.broken) {
                connections_.close(connection);
            }
        }
    }
}

// What is on its way yet would be lost, were a socket closed to which its peer still sends: that makes it a
// reset. So would be what the peer's program has not read, on some systems.
void TcpRouter::await_confirmation(uint64_t deadline) noexcept {
    for (;;) {
        bool all_confirmed = true;
        connections_.for_each([&](TcpConnection& connection) {
            const ConnectionRef kept(&connection);
            discard(connection);
            if (!TcpConnections::is_closed(connection)) {
                all_confirmed = unconfirmed_bytes(connection.watch.descriptor) == 0 && all_confirmed;
            }
        });
        if (all_confirmed || now_ns() >= deadline) return;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

void TcpRouter::close(int linger_ms) noexcept {
    wake_up_.set_alarm(nullptr);
    connections_.close_listener();
    reading_ = ConnectionRef();
    handshakes_.clear();
    flush_run();
    const uint64_t deadline = now_ns() + ns_of_ms(linger_ms);
    linger(deadline);
    connections_.for_each([](TcpConnection& connection) { shut_down_sending(connection.watch.descriptor); });
    await_confirmation(deadline);
    connections_.close_all();
    run_to_ = ConnectionRef();
    terms_ = {};
    holds_port_.store(false);
}

}  // namespace laplace
