// The addresses of this machine's network interfaces, as the system lists them. Asks no name server.
#ifndef LAPLACE_INTERFACES_H
#define LAPLACE_INTERFACES_H

#include <string>
#include <vector>

namespace laplace {

struct InterfaceAddress {
    // Of the interface, as the scope of a link-local address tells it: on Windows, its number.
    std::string name;
    std::string address;  // 4 or 16 bytes in network order
    bool running = false;  // up, with a cable or the like
    bool loopback = false;
    // Of this machine's own making, as far as the system says: a bridge to its guests, a tunnel.
    bool internal = false;
};

// Appends them in the system's order. Returns 0 or the system's error.
int list_interfaces(std::vector<InterfaceAddress>& found) noexcept;

}  // namespace laplace

#endif
