// The connections of a server: accepted within limits, watched, and closed when their time is over.
// Used by whoever has the turn, but for open().
#ifndef LAPLACE_TCP_CONNECTIONS_H
#define LAPLACE_TCP_CONNECTIONS_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/counters.h"
#include "tcp/network.h"
#include "tcp/poller.h"
#include "tcp/socket.h"
#include "tcp/wake_descriptor.h"
#include "transport/tcp_connection.h"

namespace laplace {

// Told of each connection that was refused or closed, and why, with the address and port of its peer, and, where
// it is for its key, that.
using RefusalHandler = std::function<void(Refusal, std::string_view address, std::string_view key)>;

class TcpConnections {
public:
    struct Limits {
        size_t all = 16384;
        size_t of_address = SIZE_MAX;
        uint64_t handshake_ns = 0;
        size_t waiting_bytes = SIZE_MAX;  // for one connection; one message always fits
        MessageReader::Limits messages;
    };
    TcpConnections(const Limits& limits, Poller::Kind poller, RefusalHandler on_refused, Counters& counters);
    ~TcpConnections() { close_all(); }
    TcpConnections(const TcpConnections&) = delete;
    TcpConnections& operator=(const TcpConnections&) = delete;

    // Binds. Returns 0 or an errno.
    int open(const std::string& address, std::string& endpoint) noexcept;
    void close_listener() noexcept;
    void close_all() noexcept;

    // What happened is one of these, or a TcpConnection.
    bool is_listener(const void* what) const noexcept { return what == &listener_; }
    bool is_wake_up(const void* what) const noexcept { return what == &wake_up_; }
    Poller& poller() noexcept { return poller_; }
    WakeDescriptor& wake_up() noexcept { return wake_up_; }

    // Takes those that wait, some at a time. They are greeted, and where they may choose the mechanism, in part.
    void accept(uint64_t now, Mechanism mechanism) noexcept;
    // The handshake is over; it asked something; it is to be closed when what was sent has left.
    void ready(TcpConnection& connection, uint64_t now) noexcept {
        (connection.key() == no_key ? silent_ : known_).take(connection, now);
    }
    void asked(TcpConnection& connection, uint64_t now) noexcept {
        if (connection.list == &silent_ || connection.list == &known_) asking_.take(connection, now);
    }
    void finish(TcpConnection& connection, uint64_t now) noexcept;
    bool is_finishing(const TcpConnection& connection) const noexcept { return connection.list == &finishing_; }
    bool is_asking(const TcpConnection& connection) const noexcept { return connection.list == &asking_; }
    static bool is_closed(const TcpConnection& connection) noexcept { return connection.list == nullptr; }
    // Waits for what it wants now: to be read unless its peer has ended, or it is not its turn, to be written where
    // something waits to be sent.
    void watch(TcpConnection& connection) noexcept;
    // The peer sends nothing more, and counts as gone; it may still be told what it has asked.
    void end(TcpConnection& connection) noexcept;
    void note_waiting(TcpConnection& connection) noexcept;
    void lives(TcpConnection& connection, uint64_t ttl_ns) noexcept;
    void refuse(TcpConnection& connection, Refusal reason, std::string_view key = {}) noexcept {
        refused(reason, connection.peer, key);
    }
    void close(TcpConnection& connection) noexcept;

    // Another thread works in the loop's place while that waits at the poller: until the end of it, what is
    // to be closed is only marked. Returns whether the loop has nothing to look at.
    void stand_in() noexcept {
        stands_in_ = true;
        loop_must_look_ = false;
    }
    bool stood_in() noexcept {
        stands_in_ = false;
        return !loop_must_look_ && !changed_;
    }
    void close_doomed() noexcept {
        while (!doomed_.empty()) close(*doomed_.first());
    }

    // When expire() has to be called, UINT64_MAX for never.
    uint64_t due() const noexcept;
    // Closes those whose time is over, and accepts again.
    void expire(uint64_t now) noexcept;
    // Whether a connection has gone or been given room since the last call.
    bool has_change() const noexcept { return changed_; }
    bool take_change() noexcept { return std::exchange(changed_, false); }
    // Whether those that have gone since held much memory.
    bool take_freed() noexcept;
    size_t most_waiting() const noexcept { return limits_.waiting_bytes; }
    const MessageReader::Limits& of_messages() const noexcept { return limits_.messages; }
    template <typename Use>
    void for_each(Use use) noexcept {
        for (ConnectionList* const list : {&handshaking_, &silent_, &known_, &asking_, &finishing_, &doomed_}) {
            for (TcpConnection *each = list->first(), *next = nullptr; each != nullptr; each = next) {
                next = each->next;
                use(*each);
            }
        }
    }

private:
    void admit(Descriptor descriptor, const Address& peer, uint64_t now, Mechanism mechanism) noexcept;
    bool begin(Descriptor descriptor, const Address& peer, uint64_t now, Mechanism mechanism) noexcept;
    bool make_room() noexcept;
    bool count_address(const Address& peer) noexcept;
    void forget_address(const Address& peer) noexcept;
    void refused(Refusal reason, const Address& peer, std::string_view key = {}) noexcept;
    void expire_ttl(uint64_t now) noexcept;
    void pause(uint64_t now) noexcept;
    void resume() noexcept;

    const Limits limits_;
    const RefusalHandler on_refused_;
    Counters& counters_;
    Network network_;
    Poller poller_;
    WakeDescriptor wake_up_;
    Watch listener_, wake_up_watch_;
    // Silent and known ones have asked nothing yet; the known ones have a key.
    ConnectionList handshaking_, silent_, known_, asking_, finishing_, doomed_;
    bool stands_in_ = false, loop_must_look_ = false;
    size_t count_ = 0;
    std::map<Address::HostKey, size_t> of_address_;
    uint64_t ttl_due_ = UINT64_MAX;
    uint64_t paused_until_ = 0;  // 0: it accepts
    bool changed_ = false;
    size_t freed_ = 0;  // bytes that those held who have gone
};

}  // namespace laplace

#endif
