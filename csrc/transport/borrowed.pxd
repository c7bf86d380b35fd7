from libcpp cimport bool
from libcpp.memory cimport shared_ptr

from base.bell cimport Bell
from transport.message cimport Message


cdef extern from "transport/borrowed.h" namespace "laplace" nogil:
    cdef struct BorrowedBuffer:
        void* object
        BorrowedBuffer* next
    bool borrow_buffer(Message& message, void* object, void* data, size_t size,
                       const shared_ptr[Bell]& bell) noexcept
    bool any_returned() noexcept
    BorrowedBuffer* take_returned() noexcept
    void free_buffer(BorrowedBuffer* buffer) noexcept
