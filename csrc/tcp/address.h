// Addresses of TCP: what "tcp://HOST:PORT" means to libzmq when a socket is bound to it, and how
// libzmq writes what was bound.
#ifndef LAPLACE_ADDRESS_H
#define LAPLACE_ADDRESS_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace laplace {

// Of IPv4 or IPv6, with its port. By default none.
class Address {
public:
    static constexpr size_t most_bytes = 28;  // of a sockaddr_in6
    // The IP address alone, one of IPv4 as IPv6 maps it: to count those that come from one machine.
    using HostKey = std::array<uint8_t, 16>;
    // The IP address for a reader, with the scope of a link-local one; empty where there is none.
    struct HostText {
        char text[64] = "";
    };

    // A copy of the system's sockaddr. False, and no address, where it is of another family.
    bool assign(const void* sockaddr, size_t size) noexcept;

    // Where it is an address: a sockaddr.
    const void* raw() const noexcept { return bytes_; }
    size_t size() const noexcept { return size_; }
    bool is_ipv6() const noexcept;
    uint16_t port() const noexcept;
    void set_port(uint16_t port) noexcept;
    void set_scope(uint32_t scope) noexcept;  // of IPv6

    HostKey host_key() const noexcept;
    HostText host_text() const noexcept;
    // Writes "tcp://0.0.0.0:5555" or "tcp://[::1]:5555". Returns 0 or an errno.
    int write_endpoint(std::string& endpoint) const noexcept;

private:
    alignas(8) unsigned char bytes_[most_bytes] = {};
    size_t size_ = 0;
};

// The address of a host that is one itself: of IPv4, or of IPv6 with or without %SCOPE. Asks nobody.
// Returns 0, EINVAL or ENOMEM.
int numeric_address(const std::string& host, uint16_t port, Address& address) noexcept;

// Takes "%SCOPE", the name or the number of a network interface, off the end of a host; 0 where there is
// none. Returns 0 or EINVAL. Throws std::bad_alloc.
int take_scope(std::string& host, uint32_t& scope);

// The address to bind to. HOST is "*", an IP address (of IPv6 in brackets, with or without %SCOPE), the
// name of a host or of a network interface; PORT a number, "*" or 0 for any free one. With `ipv6`,
// all become addresses of IPv6. Asks the system for names, which may take seconds. Returns 0 or the
// errno that zmq_bind fails with. Other than for libzmq, a port is digits up to 65535 and nothing else
// (EINVAL), and no protocol but tcp can be had (EPROTONOSUPPORT).
int resolve_endpoint(const std::string& endpoint, bool ipv6, Address& address) noexcept;

}  // namespace laplace

#endif
