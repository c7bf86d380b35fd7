// The receive loop: frame -> scan -> table -> answer, without Python. It alone
// touches the ROUTER socket while it runs.
#ifndef LAPLACE_LOOP_H
#define LAPLACE_LOOP_H

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "peers.h"
#include "repeats.h"
#include "shared.h"
#include "spin.h"
#include "stream_wire.h"
#include "subscribers.h"

namespace laplace {

class Loop {
public:
    Loop(Shared& shared, void* router, std::string wake_id, int spin_us);
    // Answers until a stop is requested and carried out. Returns 0, or the errno of
    // a socket that failed for good.
    int run() noexcept;
    // After run(): what is left of the time replies have to leave.
    int linger_ms() const noexcept;

private:
    struct Budget {
        size_t count = 0, bytes = 0;
    };
    enum class Step { ready, python, waiting };
    enum class Sent { yes, full, gone };

    // Receiving.
    void refresh_table() noexcept;
    bool receive(int& error);
    bool await_frame(int& error);
    void on_message();
    Request inspect(Message& body, bool one_frame) noexcept;

    // Answering.
    Step begin(const Request& request, Ticket& ticket, Answer& answer);
    bool make_reply(const Request& request, const Text& text, Answer& answer) noexcept;
    void add_streams(Text& text);
    void answer_document(const Request& request, const Content& content, Answer& answer);
    void answer_error(const Request& request, const std::string& text, int kind, Answer& answer);
    void answer_now(size_t route_size, Answer& answer);
    Sent send(Message* route, size_t route_size, Answer& answer);
    void account(const Answer& answer, uint64_t arrived) noexcept;
    void abandon(Answer& answer, int kind) noexcept;
    void log(const Request& request);

    // Peers that are owed answers.
    Peer& peer_of(size_t delimiter);
    void move_route(Slot& slot, size_t route_size);
    bool over_limit(const Peer& peer, const Budget& budget, size_t weight) const noexcept;
    Budget& budget_of(bool for_python) noexcept { return for_python ? for_python_ : for_reading_; }
    void charge(Peer& peer, Slot& slot) noexcept;
    void discharge(Peer& peer, Slot& slot) noexcept;
    void release(Budget& budget, size_t weight) noexcept;
    void count_pending() noexcept;
    void unpark(Peer& peer, const Slot& slot) noexcept;
    void append(Peer& peer, size_t route_size, Message& body, const Request& request, const Ticket& ticket);
    void advance(Peer& peer);
    void begin_front(Peer& peer);
    void enqueue(Peer& peer, Slot& slot, bool strict);
    void enqueue_followers(Peer& peer);
    void make_ready(Peer& peer, Slot& slot);
    void park(Peer& peer);
    void forget(Peer& peer);
    Connection& connection_of(std::string_view id);

    // Streams.
    bool take_control(size_t delimiter, Message& body);
    void subscribe(Route& route, const Subscription& subscription);
    bool answers_wait(Subscriber& subscriber) const;
    void pump(uint64_t now);
    Sent pump_one(Subscriber& subscriber, uint64_t now);
    Sent send_updates(Subscriber& subscriber, uint64_t number, uint64_t lost, uint64_t last);
    Sent tell(Subscriber& subscriber, stream_kind kind);
    Sent send_stream(Route& route, Message& head, std::vector<Message>* arrays);
    StreamHeader header_for(const Subscriber& subscriber, stream_kind kind) const noexcept;
    void end_streams(bool in_time);

    // What happens between messages.
    void read_mail();
    Slot* take_job(uint64_t id, Peer*& peer) noexcept;
    Slot* slot_of(Peer& peer, uint64_t id) noexcept;
    void finish(Finished& finished);
    bool fill_reply(Finished& finished, Answer& answer) noexcept;
    static bool copy_reply(const Finished& finished, Answer& answer) noexcept;
    bool render_get(const Finished& finished, Answer& answer) noexcept;
    void serve_waiting(uint64_t now);
    bool serve_waiting_peer(Peer& peer, uint64_t now);
    bool read_late(document_id which, bool take, Slot& slot, Content& content);
    void retry_parked();
    int milliseconds_to_wait(uint64_t now) const noexcept;
    void set_receive_timeout(int milliseconds) noexcept;

    // Stopping.
    void begin_stop();
    void refuse(uint64_t job, const Request& request);
    bool stopped(uint64_t now);

    static constexpr uint64_t ns_per_us = 1000;
    static constexpr uint64_t ns_per_ms = 1000 * ns_per_us;
    static constexpr uint64_t alive_ns = 1000 * ns_per_ms;  // between two words to a subscriber
    static constexpr unsigned most_unanswered = 8;           // of those
    static constexpr uint64_t first_retry_ns = ns_per_ms;  // of parked replies; doubles from there
    static constexpr size_t large_reply = 64 * 1024;  // smaller ones libzmq's high-water mark bounds

    Shared& shared_;
    void* const router_;
    const std::string wake_id_;
    std::shared_ptr<const DispatchTable> table_;
    uint64_t table_epoch_ = 0;

    std::vector<Message> frames_;
    size_t frame_count_ = 0;
    Spin spin_;
    Repeats repeats_;
    Message nothing_;
    std::string key_;
    uint64_t arrived_ = 0;
    uint64_t last_request_ = 0, last_sent_ = 0;

    Peers peers_;
    Connections connections_;
    // Requests Python has; their peer is null once it has gone.
    struct Owed {
        Peer* peer;
        size_t weight;
    };
    std::unordered_map<uint64_t, Owed> jobs_;
    std::vector<Peer*> waiting_, parked_;
    uint64_t waiting_at_ = UINT64_MAX;  // when the first of the waiting is due
    // What waits for Python, and what waits for other reasons: neither keeps out the other.
    Budget for_python_, for_reading_;
    uint64_t next_job_ = 0;
    uint64_t retry_at_ = 0, retry_after_ = 0;
    bool progress_ = false;  // something was sent since the last retry began
    uint64_t log_checked_ = 0;

    Subscribers subscribers_;
    bool look_at_streams_ = false;  // something can be sent, perhaps
    uint32_t most_updates_ = 0;     // in a message, when it looked last
    uint64_t streams_at_ = 0;       // when they are looked at in any case
    int receive_timeout_ = -1;

    bool stopping_ = false;
    uint64_t callback_deadline_ = 0, flush_deadline_ = 0;
};

}  // namespace laplace

#endif
