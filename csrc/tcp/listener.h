// A bound socket, of the text that names it.
#ifndef LAPLACE_LISTENER_H
#define LAPLACE_LISTENER_H

#include <string>

#include "tcp/descriptor.h"

namespace laplace {

// Binds to an endpoint as zmq_bind does (resolve_endpoint in address.h says what it may be) and listens.
// IPv6 where there is a "[" in it, which then takes connections of IPv4 too. `bound` becomes the endpoint
// with its port; `opened` is the caller's to close. Returns 0, or the errno that zmq_bind fails with; then
// nothing is open. Network::open() comes first.
int open_listener(const std::string& endpoint, int backlog, int send_buffer, Descriptor& opened,
                  std::string& bound) noexcept;

}  // namespace laplace

#endif
