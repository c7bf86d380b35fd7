// A connection of TcpRouter's, lists of them, and the queue of those in a handshake. Used by whoever has the turn.
#ifndef LAPLACE_TCP_CONNECTION_H
#define LAPLACE_TCP_CONNECTION_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "tcp/address.h"
#include "tcp/watch.h"
#include "transport/connection.h"
#include "transport/curve_connection.h"
#include "transport/message_reader.h"
#include "transport/outbox.h"

namespace laplace {

class ConnectionList;

// How a connection speaks. Open: the peer's greeting will tell.
enum class Mechanism : uint8_t { null, open, curve };

constexpr size_t first_receive_size = 4096;

struct TcpConnection final : Connection {
    TcpConnection(Descriptor descriptor, const Address& its_peer, const MessageReader::Limits& limits) noexcept
        : watch(descriptor, this), peer(its_peer), reader(limits) {}
    ~TcpConnection() override = default;

    std::string peer_address() const override {
        constexpr size_t scheme = sizeof "tcp://" - 1;
        std::string endpoint;
        return peer.write_endpoint(endpoint) == 0 ? endpoint.substr(scheme) : std::string();
    }
    using Connection::keep;
    using Connection::let_go;
    void set_open(bool open) noexcept { open_ = open; }
    void set_ended() noexcept { ended_ = true; }
    // Who is at the other end.
    void set_client(Role role, uint32_t key) noexcept {
        role_ = role;
        key_ = key;
    }
    void use_curve(std::unique_ptr<CurveConnection> made) noexcept {
        curve = std::move(made);
        mechanism = Mechanism::curve;
        encrypted_ = true;
    }
    // Whether the next bytes of it may be a command that takes long to hear.
    bool in_curve_handshake() const noexcept { return curve != nullptr && curve->in_handshake(); }

    // Bytes that wait to be sent.
    size_t unsent() const noexcept { return outbox.size() + (curve == nullptr ? 0 : curve->sealing().size()); }
    // Those of them that can be sent as they are.
    Outbox& leaving() noexcept { return curve == nullptr ? outbox : curve->sealing().ready(); }
    // Memory beside what waits to be sent.
    size_t held() const noexcept { return reader.held() + (curve == nullptr ? 0 : curve->held()); }
    // Nothing is sent or read any more.
    void release() noexcept {
        outbox.clear();
        reader.release();
        if (curve != nullptr) curve->release();
    }
    // What waits has changed; returns by how much.
    int64_t note_waiting() noexcept {
        const auto before = static_cast<int64_t>(waiting_);
        waiting_ = unsent();
        return static_cast<int64_t>(waiting_) - before;
    }
    // Whether somebody waits for room, and there is.
    bool gives_room(size_t below) noexcept {
        if (!wants_room_ || waiting_ >= below) return false;
        wants_room_ = false;
        return true;
    }

    Watch watch;
    Address peer;
    Mechanism mechanism = Mechanism::null;
    bool awaits_turn = false;  // to be read, in a handshake
    MessageReader reader;
    Outbox outbox;
    std::unique_ptr<CurveConnection> curve;
    ConnectionRef next_in_turn;
    ConnectionList* list = nullptr;  // null: it is closed
    TcpConnection* previous = nullptr;
    TcpConnection* next = nullptr;
    // Bytes to receive at once: fewer of who sends so small messages that many of them would hold up others.
    size_t receive_size = first_receive_size;
    uint64_t since = 0;   // ns, when it came into its list
    uint64_t heard = 0;   // ns, when it sent anything last
    uint64_t ttl_ns = 0;  // after which it is dead if it sends nothing; 0: it did not say
};

inline TcpConnection& tcp(Connection& connection) noexcept { return static_cast<TcpConnection&>(connection); }

// In the order they came. A connection is in one list at a time.
class ConnectionList {
public:
    bool empty() const noexcept { return first_ == nullptr; }
    TcpConnection* first() const noexcept { return first_; }

    // From the list that it is in to the end of this one.
    void take(TcpConnection& connection, uint64_t now) noexcept {
        remove(connection);
        connection.list = this;
        connection.since = now;
        connection.previous = last_;
        connection.next = nullptr;
        (last_ == nullptr ? first_ : last_->next) = &connection;
        last_ = &connection;
    }
    // From whichever it is in.
    static void remove(TcpConnection& connection) noexcept {
        ConnectionList* const list = connection.list;
        if (list == nullptr) return;
        (connection.previous == nullptr ? list->first_ : connection.previous->next) = connection.next;
        (connection.next == nullptr ? list->last_ : connection.next->previous) = connection.previous;
        connection.list = nullptr;
    }

private:
    TcpConnection* first_ = nullptr;
    TcpConnection* last_ = nullptr;
};

// Those in a handshake over CURVE whose bytes have come, in that order. To read them may take long, and so they
// wait, unread, for their turn.
class TurnQueue {
public:
    TurnQueue() noexcept = default;
    ~TurnQueue() { clear(); }
    TurnQueue(const TurnQueue&) = delete;
    TurnQueue& operator=(const TurnQueue&) = delete;

    bool empty() const noexcept { return first_.get() == nullptr; }
    void push(TcpConnection& connection) noexcept {
        if (std::exchange(connection.awaits_turn, true)) return;
        (empty() ? first_ : last_->next_in_turn) = ConnectionRef(&connection);
        last_ = &connection;
    }
    // Null where there is none. Those that were closed meanwhile are let go, and have no turn: whoever leaves
    // as fast as it comes would fill memory else.
    ConnectionRef pop() noexcept {
        while (!empty()) {
            ConnectionRef popped = take_first();
            if (tcp(*popped).list != nullptr) return popped;
        }
        return {};
    }
    void clear() noexcept {
        while (!empty()) take_first();  // one by one, since each keeps the next
    }

private:
    ConnectionRef take_first() noexcept {
        ConnectionRef taken = std::move(first_);
        first_ = std::move(tcp(*taken).next_in_turn);
        tcp(*taken).awaits_turn = false;
        return taken;
    }

    ConnectionRef first_;
    TcpConnection* last_ = nullptr;  // unless empty
};

}  // namespace laplace

#endif
