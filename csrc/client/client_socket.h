// The socket of a client: how it begins, and how it ends.
#ifndef LAPLACE_CLIENT_SOCKET_H
#define LAPLACE_CLIENT_SOCKET_H

#include "tcp/address.h"
#include "tcp/descriptor.h"
#include "tcp/network.h"

namespace laplace {

class ClientSocket {
public:
    ClientSocket() noexcept = default;
    ~ClientSocket() { close(); }
    ClientSocket(const ClientSocket&) = delete;
    ClientSocket& operator=(const ClientSocket&) = delete;

    // Once: begins to connect, with the options that clients want. Returns 0 or an errno of the system's, and
    // then nothing is open. `result`: what came of it already, as begin_connecting() says.
    int open(const Address& address, int& result) noexcept;
    // Whether the connection leads from a port to the same one: where nobody listens at a port that the
    // system also gives to who connects, it may give it to who connects there.
    bool is_its_own_peer(const Address& address) const noexcept;
    // Says that nothing more will be sent, and takes what has come: with that unread, closing would be a
    // reset, by which the peer may lose what was sent last.
    void take_leave() noexcept;
    void close() noexcept;

    bool is_open() const noexcept { return descriptor_ != no_descriptor; }
    Descriptor descriptor() const noexcept { return descriptor_; }

private:
    Network network_;
    Descriptor descriptor_ = no_descriptor;
};

}  // namespace laplace

#endif
