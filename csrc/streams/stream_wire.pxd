from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "streams/stream_wire.h" namespace "laplace" nogil:
    cdef enum class StreamKind(uint8_t):
        updates
        loose
        alive
        end
        unknown
        credit
        leave
    ctypedef struct StreamHeader:
        char* magic
        uint8_t version
        StreamKind kind
        uint16_t arrays
        uint32_t subscription
        uint32_t count
        uint64_t epoch
        uint64_t first
        uint64_t last
    ctypedef struct StreamControl:
        char* magic
        uint8_t version
        StreamKind kind
        uint16_t reserved
        uint32_t subscription
        uint32_t reserved2
        uint64_t messages
        uint64_t bytes
        uint64_t next
    const char* stream_magic
    const uint8_t stream_version
