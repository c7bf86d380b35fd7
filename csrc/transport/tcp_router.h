// The router over TCP: ZMTP in the loop's own thread, one hop from a peer's socket to an answer.
//
// Handshakes, and what comes over CURVE, are in tcp_curve.cpp, what is sent in tcp_sending.cpp.
#ifndef LAPLACE_TCP_ROUTER_H
#define LAPLACE_TCP_ROUTER_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "transport/admission.h"
#include "transport/router.h"
#include "transport/tcp_connections.h"

namespace laplace {

class TcpRouter final : public Router, private Alarm {
public:
    static constexpr size_t run_capacity = 64 * 1024;

    // Throws std::bad_alloc.
    TcpRouter(const TcpConnections::Limits& limits, Poller::Kind poller, RefusalHandler on_refused,
              const Admission& admission, WakeUp& wake_up, Counters& counters);
    ~TcpRouter() override { close(0); }

    int open(const std::string& address) noexcept override;
    void close(int linger_ms) noexcept override;

    Got receive(Received& message, int wait_ms, bool may_spin, int& error) override;
    Sent send(Connection& to, std::string_view route, const Message& body,
              const std::vector<Message>& more) override;
    void answered(uint64_t arrived) noexcept override;
    bool flush(Connection& to) noexcept override;
    void finish(Connection& connection) noexcept override;
    void review() noexcept override;
    void settled(Connection& connection) noexcept override;
    bool take_room() noexcept override { return connections_.take_change(); }
    bool take_freed() noexcept override { return connections_.take_freed(); }
    uint64_t retry_ns() const noexcept override { return UINT64_MAX; }
    void stand_in() noexcept override { connections_.stand_in(); }
    bool stood_in(uint64_t due) noexcept override;

private:
    void ring() noexcept override { connections_.wake_up().ring(); }

    using Room = MessageReader::Room;

    bool wait(int wait_ms, bool may_spin, int& error) noexcept;
    bool sleep(int wait_ms, uint64_t now, int& error) noexcept;
    void serve(const PollEvent& event) noexcept;
    void read(TcpConnection& connection) noexcept;
    void read_sealed(TcpConnection& connection) noexcept;
    size_t receive(TcpConnection& connection, Room room) noexcept;
    static Room room_of(TcpConnection& connection) noexcept;
    static size_t most_of(const TcpConnection& connection) noexcept;
    void discard(TcpConnection& connection) noexcept;
    void end(TcpConnection& connection) noexcept;
    Got read_on(Received& message);
    void stop_reading() noexcept;
    void stop_reading(TcpConnection& connection) noexcept;

    // ---- in tcp_curve.cpp
    const Admission::Terms& terms() noexcept;
    void hear_next() noexcept;
    bool open_more(TcpConnection& connection);
    bool read_mechanism(TcpConnection& connection);
    void begin_curve(TcpConnection& connection);
    void open_curve(TcpConnection& connection);
    void hear(TcpConnection& connection);
    void end_handshake(TcpConnection& connection);

    // ---- in tcp_sending.cpp
    void refuse(TcpConnection& connection, Refusal reason, std::string_view last_words,
                std::string_view key = {}) noexcept;

    void put(TcpConnection& to, std::string_view bytes);
    void answer_ping(TcpConnection& connection);
    char* seal(TcpConnection& connection, std::string_view route, const Message& body, char* out) noexcept;
    bool seal_some(TcpConnection& connection) noexcept;
    void write(TcpConnection& connection) noexcept;
    void flush_run() noexcept;
    void settle(TcpConnection& connection) noexcept;
    void linger(uint64_t deadline) noexcept;
    void await_confirmation(uint64_t deadline) noexcept;

    TcpConnections connections_;
    const Admission& admission_;
    Admission::Terms terms_;
    uint64_t terms_epoch_ = UINT64_MAX, reviewed_epoch_ = 0;
    TurnQueue handshakes_;
    // The bytes received last, and what is left of them, for the reader of `reading_`.
    const std::unique_ptr<char[]> received_;
    ConnectionRef reading_;
    const char* at_ = nullptr;
    const char* end_ = nullptr;
    // Over CURVE these are what was opened last; the rest is left as it came.
    char* come_ = nullptr;
    char* come_end_ = nullptr;
    const char* received_end_ = nullptr;  // null: they were received to where they belong
    size_t taken_ = 0;  // messages and commands out of these bytes
    uint64_t arrived_ = 0;
    // What was sent to `run_to_` and the network has not been given: so that the answers to all that one
    // receive brought leave by one send.
    const std::unique_ptr<char[]> run_;
    size_t run_size_ = 0;
    uint64_t run_answers_ = 0;  // in the run, to what came last
    ConnectionRef run_to_;
    uint64_t sleeps_until_ = 0;  // ns
};

}  // namespace laplace

#endif
