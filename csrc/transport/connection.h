// One way to a peer over the network, as those above the transport know it. Used by whoever has the turn.
#ifndef LAPLACE_CONNECTION_H
#define LAPLACE_CONNECTION_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/roles.h"
#include "transport/client_link.h"

namespace laplace {

// What a connection holds of the server's memory, as those who answer count it. Several peers share it
// behind a proxy, so that no connection gains by inventing peers.
struct Holdings {
    size_t pending = 0;
    size_t pending_bytes = 0;
    size_t parked_bytes = 0;
    size_t peers = 0;         // that are owed answers
    size_t parked_peers = 0;  // those whose answer waits for room
    size_t subscriptions = 0;
};

class Connection {
public:
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // No two connections of a process have the same, one after another included.
    uint64_t id() const noexcept { return id_; }
    // What its peer may do, and the number of its key; known when the handshake is over.
    Role role() const noexcept { return role_; }
    uint32_t key() const noexcept { return key_; }
    // Address and port of its peer for a reader, as far as the transport knows. Throws std::bad_alloc.
    virtual std::string peer_address() const { return {}; }
    // Whether anything can still be sent.
    bool is_open() const noexcept { return open_; }

    // Whether what is sent to it has to be sealed for it alone.
    bool is_encrypted() const noexcept { return encrypted_; }
    // Whether its peer sends nothing any more. It may have gone, or wait for what it asked for.
    bool has_ended() const noexcept { return ended_; }

    // Bytes that were sent to it and that the network has not taken, as far as the transport knows.
    size_t waiting() const noexcept { return waiting_; }
    // Router::take_room() tells when hardly anything waits any more.
    void ask_for_room() noexcept { wants_room_ = true; }

    // The same without the port. Throws std::bad_alloc.
    std::string peer_host() const {
        const std::string address = peer_address();
        return address.substr(0, address.rfind(':'));
    }
    // Whether the transport closes it when its peer has gone.
    bool tells_its_end() const noexcept { return tells_its_end_; }

    Holdings holdings;
    ClientLink client;

protected:
    Connection() noexcept : id_(last_id_.fetch_add(1, std::memory_order_relaxed) + 1) {}
    virtual ~Connection() = default;

    // The transport keeps a record as ConnectionRef does, while the connection is there.
    static void keep(Connection& connection) noexcept { ++connection.references_; }
    static void let_go(Connection& connection) noexcept {
        if (--connection.references_ == 0) delete &connection;
    }

    bool open_ = true;
    bool ended_ = false;
    bool wants_room_ = false;
    bool encrypted_ = false;
    bool tells_its_end_ = true;
    Role role_ = anonymous_role;
    uint32_t key_ = no_key;
    size_t waiting_ = 0;

private:
    friend class ConnectionRef;

    static inline std::atomic<uint64_t> last_id_{0};

    const uint64_t id_;
    size_t references_ = 0;
};

// Keeps a connection's record, not the connection itself.
class ConnectionRef {
public:
    ConnectionRef() noexcept = default;
    explicit ConnectionRef(Connection* connection) noexcept : connection_(connection) {
        if (connection_ != nullptr) ++connection_->references_;
    }
    ~ConnectionRef() { drop(); }
    ConnectionRef(const ConnectionRef& other) noexcept : ConnectionRef(other.connection_) {}
    ConnectionRef(ConnectionRef&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
    ConnectionRef& operator=(ConnectionRef other) noexcept {
        std::swap(connection_, other.connection_);
        return *this;
    }

    Connection* get() const noexcept { return connection_; }
    Connection& operator*() const noexcept { return *connection_; }
    Connection* operator->() const noexcept { return connection_; }
    // Whether nobody else keeps the record.
    bool is_last() const noexcept { return connection_ != nullptr && connection_->references_ == 1; }

private:
    void drop() noexcept {
        if (connection_ != nullptr) Connection::let_go(*connection_);
    }

    Connection* connection_ = nullptr;
};

}  // namespace laplace

#endif
