#include "tcp/listener.h"

#include <cerrno>

#include "tcp/address.h"
#include "tcp/socket.h"

namespace laplace {

namespace {

int resolve_and_open(const std::string& endpoint, bool ipv6, int backlog, int send_buffer,
                     Descriptor& opened) noexcept {
    Address address;
    const int error = resolve_endpoint(endpoint, ipv6, address);
    return error != 0 ? error : open_listening_socket(address, backlog, send_buffer, opened);
}

}  // namespace

int open_listener(const std::string& endpoint, int backlog, int send_buffer, Descriptor& opened,
                  std::string& bound) noexcept {
    const bool ipv6 = endpoint.find('[') != std::string::npos;
    int error = resolve_and_open(endpoint, ipv6, backlog, send_buffer, opened);
    // On a machine without IPv6 it means what it can mean there: "[*]" is all addresses of IPv4.
    if (error == EAFNOSUPPORT && ipv6) error = resolve_and_open(endpoint, false, backlog, send_buffer, opened);
    if (error != 0) return error;
    Address address;
    error = local_address(opened, address);
    if (error == 0) error = address.write_endpoint(bound);
    if (error != 0) {
        close_socket(opened);
        opened = no_descriptor;
    }
    return error;
}

}  // namespace laplace
