from libcpp cimport bool


cdef extern from "tcp/socket.h" namespace "laplace" nogil:
    ctypedef int Descriptor  # on Windows it is larger
    cdef cppclass Piece:
        pass
    cdef enum class IoState:
        moved
        would_block
        closed
        failed
    cdef cppclass IoResult:
        IoState state
        size_t bytes
        int error
    IoResult send_bytes(Descriptor socket, const void* data, size_t size) noexcept
    void shut_down_receiving(Descriptor socket) noexcept


cdef extern from "client/transfer.h" namespace "laplace" nogil:
    cdef cppclass ReplySpin:
        pass
    cdef cppclass Transfer:
        void carry_out() noexcept
        Descriptor socket
        int milliseconds
        bool connecting
        bool has_more
        bool wants_all
        char* room
        size_t room_size
        size_t piece_count
        Piece* pieces
        ReplySpin* spin  # of a base class of it
        bool decided
        int connect_error
        size_t received
        bool ended
        int receive_error
        size_t sent
        int send_error
        int wait_error
    const int longest_wait_ms "laplace::Transfer::longest_wait_ms"
