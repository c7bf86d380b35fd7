from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.vector cimport vector

from base.clock cimport time_point
from transport.message cimport Message


cdef extern from "streams/stream.h" namespace "laplace" nogil:
    cdef cppclass Range:
        uint64_t first
        uint64_t last
        uint64_t newest
    cdef cppclass History:
        size_t bytes
        uint64_t updates
        bool block
    cdef cppclass Stream:
        bool wait_for_subscribers(
            size_t text_bytes, const vector[Message]& arrays, time_point until,
            uint64_t lost_before) noexcept
        Range range() noexcept
        size_t bytes() noexcept
    const size_t largest_text "laplace::Stream::largest_text"
    const uint64_t would_cost "laplace::Stream::would_cost"
    const uint64_t sealed "laplace::Stream::sealed"
