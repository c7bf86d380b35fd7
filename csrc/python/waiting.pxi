# How long to wait.

from libc.stdint cimport uint64_t

from base.clock cimport now_ns
from client.transfer cimport longest_wait_ms

cdef double LONGEST_S = 1e8  # three years


cdef uint64_t nanoseconds(double seconds) noexcept:
    if not seconds > 0:
        return 0
    return <uint64_t>((seconds if seconds < LONGEST_S else LONGEST_S) * 1e9)


cdef uint64_t left_until(uint64_t until) noexcept:
    cdef uint64_t now
    if until == 0:
        return 0
    now = now_ns()
    return until - now if now < until else 0


cdef int milliseconds_of(uint64_t left) noexcept:
    """Rounded up, but no more than one wait may take."""
    cdef uint64_t milliseconds = (left + 999_999) // 1_000_000
    return <int>milliseconds if milliseconds < <uint64_t>longest_wait_ms else longest_wait_ms
