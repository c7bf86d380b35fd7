from libcpp cimport bool


cdef extern from "base/real_time.h" namespace "laplace" nogil:
    bool native_may_be_real_time "laplace::may_be_real_time"() noexcept
