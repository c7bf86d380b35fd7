// Waits for one socket, for who has only one: a Poller is for many.
#ifndef LAPLACE_WAIT_H
#define LAPLACE_WAIT_H

#include "tcp/descriptor.h"
#include "tcp/watch.h"

namespace laplace {

// Of what was wanted. A broken socket is all of it: what came before is there to be received, and a
// receive or a send says what happened.
struct Readiness {
    bool readable = false;
    bool writable = false;
};

// Returns 0, also where nothing is ready in that time, or an errno; EINTR: a signal.
int wait_for_socket(Descriptor socket, Interest interest, int milliseconds, Readiness& ready) noexcept;

}  // namespace laplace

#endif
