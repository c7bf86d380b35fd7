// Ends a Poller's wait from other threads: a descriptor that becomes readable. An eventfd on Linux, a
// pipe elsewhere; on Windows a UDP socket that is connected to itself, since WSAPoll takes sockets only.
#ifndef LAPLACE_WAKE_DESCRIPTOR_H
#define LAPLACE_WAKE_DESCRIPTOR_H

#include "tcp/descriptor.h"

namespace laplace {

class WakeDescriptor {
public:
    WakeDescriptor() noexcept = default;
    ~WakeDescriptor() { close(); }
    WakeDescriptor(const WakeDescriptor&) = delete;
    WakeDescriptor& operator=(const WakeDescriptor&) = delete;

    // Returns 0 or an errno; then nothing is open. Network::open() comes first.
    int open() noexcept;
    // When nobody rings any more.
    void close() noexcept;

    // From any thread, while it is open. Never blocks; many are one.
    void ring() noexcept;
    // By who waits: from now on it is not readable until it rings again.
    void clear() noexcept;
    // For a Watch.
    Descriptor descriptor() const noexcept { return read_end_; }

private:
    Descriptor read_end_ = no_descriptor;
    Descriptor write_end_ = no_descriptor;  // the same one, but of a pipe
};

}  // namespace laplace

#endif
