from libc.stdint cimport uint8_t, uint64_t
from libcpp cimport bool

from base.std cimport string_view
from client.curve_link cimport CurveLink, SocketType


cdef extern from "zmtp/commands.h" namespace "laplace::zmtp" nogil:
    const size_t greeting_size
    const size_t max_ready
    string_view greeting() noexcept
    char* encode_ready(SocketType own, string_view identity, char* out) noexcept


cdef extern from "zmtp/frames.h" namespace "laplace::zmtp" nogil:
    const size_t max_header
    size_t header_size(uint64_t size) noexcept
    char* encode_header(bool more, uint64_t size, char* out) noexcept


cdef extern from "client/peer_fault.h" namespace "laplace" nogil:
    cdef enum class PeerFault(uint8_t):
        none
        not_zmtp
        version
        mechanism
        no_security
        socket_type
        malformed
        forged
        refused_by_peer
        too_many_frames
        no_memory
        unable


cdef extern from "client/incoming.h" namespace "laplace" nogil:
    cdef enum class IncomingEvent(uint8_t):
        need_more
        ready
        frame
        begin
        end
        answer
        fault
    cdef cppclass IncomingRoom:
        char* begin
        size_t size
    cdef cppclass Incoming:
        Incoming() noexcept
        Incoming(SocketType own) noexcept
        Incoming(SocketType own, CurveLink* link) noexcept
        IncomingEvent next(char*& at, char* end) noexcept
        bool more() noexcept
        string_view whole() noexcept
        uint64_t size() noexcept
        void put_into(char* memory) noexcept
        string_view to_send() noexcept
        IncomingRoom room() noexcept
        void received(size_t size) noexcept
        void give_up() noexcept
        PeerFault fault() noexcept
        string_view reason() noexcept
