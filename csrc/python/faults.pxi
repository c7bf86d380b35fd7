# Why a connection is of no use, in words for a person.

from client.incoming cimport PeerFault

cdef dict FAULTS = {
    <int>PeerFault.not_zmtp: "it does not speak ZMTP 3",
    <int>PeerFault.version: "it does not speak ZMTP 3, but an older version",
    <int>PeerFault.no_security:
        "it has no security: it talks in the clear, which a client with a key does not",
    <int>PeerFault.socket_type: "its socket is of a type that does not fit",
    <int>PeerFault.malformed: "what it sends breaks the rules of ZMTP",
    <int>PeerFault.forged:
        "what came was not sealed by the server with the expected key, or changed on the way",
    <int>PeerFault.too_many_frames: "it sends a message of too many frames",
    <int>PeerFault.no_memory: "there is no memory for what it sends",
    <int>PeerFault.unable: "libsodium failed",
}

# What servers say in ERROR. The number is of ZeroMQ's RFC 27: libzmq's say it, and ours.
cdef str NOT_ALLOWED = "400"
cdef str KEY_REQUIRED = "key-required"
NO_KEY = (
    "it serves only clients with a key, and this one has none: either no server's key is known at "
    "this address, as it is written (laplace-server keys trust ADDRESS FILE), or the program has "
    "not given it to the client (security=)"
)
cdef dict REASONS = {
    NOT_ALLOWED: "it does not allow this client's key",
    KEY_REQUIRED: NO_KEY,
}

CLOSED_EARLY = (
    "the server closed the connection before the handshake was over; it may just have "
    "ended, have as many connections as it allows (max_connections), or serve only clients with a "
    "key"
)

# With keys, before it has said that it has security. libzmq does not say so where it then refuses.
CLOSED_UNGREETED = (
    "the server closed the connection without a word; it may just have ended, have another "
    "key than the one expected (laplace-server keys trust ADDRESS FILE --replace takes its new "
    "one), no security at all, or as many connections as it allows (max_connections)"
)
# And after that.
CLOSED_AT_HELLO = (
    "the server closed the connection in the handshake without a word; most likely it has another "
    "key than the one expected (laplace-server keys trust ADDRESS FILE --replace takes its new "
    "one), else as many connections as it allows (max_connections)"
)


cdef str text_of_fault(PeerFault fault, bint has_keys):
    if fault == PeerFault.mechanism:
        own = "CURVE" if has_keys else "NULL"
        hint = "" if has_keys else "; it may serve only clients with a key"
        return f"it wants another security mechanism than {own}{hint}"
    return FAULTS[<int>fault]


cdef str text_of_refusal(bytes reason, bint has_keys):
    """What ERROR says."""
    text = reason.decode("ascii", "replace")
    if text == (NOT_ALLOWED if has_keys else KEY_REQUIRED):
        return REASONS[text]
    return f"it refused: {text}" if text else "it refused"
