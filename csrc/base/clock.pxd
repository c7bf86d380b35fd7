from libc.stdint cimport uint64_t
from libcpp cimport bool


cdef extern from "base/clock.h" namespace "laplace" nogil:
    cdef cppclass time_point "laplace::Clock::time_point":
        bool operator<=(time_point other) noexcept
    time_point deadline_after(double seconds) noexcept
    uint64_t now_ns() noexcept
    double wall_clock_s() noexcept
