from libcpp cimport bool


cdef extern from "transport/message.h" namespace "laplace" nogil:
    cdef cppclass Message:
        Message() noexcept
        bool allocate(size_t size) noexcept
        char* data() noexcept
        size_t size() noexcept
