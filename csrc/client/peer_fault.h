// Why nothing more is heard of a peer.
#ifndef LAPLACE_PEER_FAULT_H
#define LAPLACE_PEER_FAULT_H

#include <cstdint>

namespace laplace {

enum class PeerFault : uint8_t {
    none,
    not_zmtp,
    version,
    mechanism,    // another one than ours
    no_security,  // NULL, where ours is CURVE
    socket_type,
    malformed,
    forged,           // over CURVE: not made by whom it should be, or changed, or said again
    refused_by_peer,  // it said ERROR
    too_many_frames,
    no_memory,  // here, for what it sends
    unable      // libsodium, here
};

}  // namespace laplace

#endif
