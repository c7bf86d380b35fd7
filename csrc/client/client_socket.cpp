#include "client/client_socket.h"

#include "tcp/socket.h"

namespace laplace {

int ClientSocket::open(const Address& address, int& result) noexcept {
    if (const int error = network_.open()) return error;
    if (const int error = open_socket(address.is_ipv6(), descriptor_)) return error;
    // A system that refuses them connects all the same.
    set_no_delay(descriptor_);
    set_keepalive(descriptor_, usual_keepalive);
    result = begin_connecting(descriptor_, address);
    return 0;
}

bool ClientSocket::is_its_own_peer(const Address& address) const noexcept {
    Address own;
    return local_address(descriptor_, own) == 0 && own.port() == address.port() &&
           own.host_key() == address.host_key();
}

void ClientSocket::take_leave() noexcept {
    shut_down_sending(descriptor_);
    char bytes[16 * 1024];
    for (int most = 64; most > 0; --most) {
        if (receive_bytes(descriptor_, bytes, sizeof bytes).state != IoState::moved) return;
    }
}

void ClientSocket::close() noexcept {
    if (is_open()) close_socket(descriptor_);
    descriptor_ = no_descriptor;
}

}  // namespace laplace
