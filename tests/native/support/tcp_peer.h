// The other end of a server's connections: a socket of the test's own, which blocks, and what a test
// wants to do with one.
#ifndef LAPLACE_TESTS_TCP_PEER_H
#define LAPLACE_TESTS_TCP_PEER_H

#include <cstdlib>
#include <string>

#include "tcp/address.h"
#include "tcp/listener.h"
#include "tcp/poller.h"
#include "tcp/socket.h"
#include "tcp/system.h"

namespace tcp_peer {

using laplace::Address;
using laplace::Descriptor;
using laplace::IoResult;
using laplace::IoState;
using laplace::no_descriptor;

// What cannot fail for what is tested.
inline void must(bool holds) {
    if (!holds) std::abort();
}

// A listening socket of 127.0.0.1.
class Listener {
public:
    explicit Listener(const std::string& endpoint = "tcp://127.0.0.1:*", int send_buffer = 0) {
        must(laplace::open_listener(endpoint, 100, send_buffer, descriptor, bound) == 0);
        must(laplace::local_address(descriptor, address) == 0);
    }
    ~Listener() { laplace::close_socket(descriptor); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    Descriptor descriptor = no_descriptor;
    Address address;
    std::string bound;
};

inline Descriptor connect_to(const Address& address) {
    const Descriptor made = ::socket(address.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP);
    must(made != no_descriptor);
    const auto* const raw = static_cast<const sockaddr*>(address.raw());
    must(::connect(made, raw, static_cast<socklen_t>(address.size())) == 0);
    return made;
}

// Waits until a descriptor is ready.
inline void wait_for(Descriptor descriptor, laplace::Interest interest) {
    laplace::PollSet set;
    laplace::Watch watch(descriptor, nullptr);
    must(set.add(watch, interest) == 0);
    laplace::PollEvent event;
    do {
        set.prepare();
        must(set.wait_prepared(-1) == 0);
    } while (!set.next(event));
}

// A connection, both ends of it.
class Connection {
public:
    explicit Connection(const Listener& listener) : Connection(listener, listener.address) {}
    Connection(const Listener& listener, const Address& to) : peer(connect_to(to)) {
        wait_for(listener.descriptor, laplace::Interest::read);
        must(laplace::accept_connection(listener.descriptor, server, address) == 0);
    }
    ~Connection() {
        close_peer();
        if (server != no_descriptor) laplace::close_socket(server);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void close_peer() {
        if (peer != no_descriptor) laplace::close_socket(peer);
        peer = no_descriptor;
    }
    // The peer's computer was switched off and on again, as far as the server sees.
    void reset_peer() {
        struct linger at_once {};
        at_once.l_onoff = 1;
        must(::setsockopt(peer, SOL_SOCKET, SO_LINGER, reinterpret_cast<const char*>(&at_once), sizeof at_once) == 0);
        close_peer();
    }
    void send(const std::string& text) {
        size_t sent = 0;
        while (sent < text.size()) {
            const IoResult result = laplace::send_bytes(peer, text.data() + sent, text.size() - sent);
            must(result.state == IoState::moved);
            sent += result.bytes;
        }
    }
    // So many bytes, or fewer before the end.
    std::string receive(size_t size) { return receive_from(peer, size); }
    // The same of the server's end, which waits where there is nothing.
    std::string served(size_t size) { return receive_from(server, size); }

    static std::string receive_from(Descriptor from, size_t size) {
        std::string text(size, '\0');
        size_t received = 0;
        while (received < size) {
            const IoResult result = laplace::receive_bytes(from, &text[received], size - received);
            if (result.state == IoState::would_block) {
                wait_for(from, laplace::Interest::read);
                continue;
            }
            if (result.state != IoState::moved) break;
            received += result.bytes;
        }
        text.resize(received);
        return text;
    }

    Descriptor peer;
    Descriptor server = no_descriptor;
    Address address;  // the peer's, as the server was told
};

inline IoResult receive_one(Descriptor from) {
    char byte;
    return laplace::receive_bytes(from, &byte, 1);
}

// What a receive says of a reset.
inline bool is_reset(const IoResult& result) {
#ifdef _WIN32
    // Under wine the error is gone after the wait that told of it, and what is left is an end.
    if (result.state == IoState::closed) return true;
#endif
    return result.state == IoState::failed && result.error == ECONNRESET && result.bytes == 0;
}

// Until nothing more has room; how much it was.
inline size_t fill(Descriptor to) {
    const std::string much(1 << 20, 'x');
    size_t sent = 0;
    for (;;) {
        const IoResult result = laplace::send_bytes(to, much.data(), much.size());
        if (result.state == IoState::would_block) return sent;
        must(result.state == IoState::moved);
        sent += result.bytes;
    }
}

}  // namespace tcp_peer

#endif
