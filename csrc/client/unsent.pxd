from libc.stdint cimport uint8_t
from libcpp cimport bool

from base.std cimport string_view
from client.transfer cimport Piece


ctypedef void (*let_go_of)(void* owner) noexcept


cdef extern from "client/unsent.h" namespace "laplace" nogil:
    cdef enum class UnsentKind(uint8_t):
        opening
        answer
        message
    cdef cppclass Unsent:
        void set_let_go(let_go_of) noexcept
        void reserve(size_t pieces) except +
        void add(void* owner, string_view bytes, UnsentKind kind) noexcept
        size_t next(Piece* pieces, bool ready) noexcept
        void left(size_t bytes) noexcept
        void clear() noexcept
        bool empty() noexcept
        bool may_leave(bool ready) noexcept
        size_t message_bytes() noexcept
        size_t answer_bytes() noexcept
