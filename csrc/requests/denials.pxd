from libc.stdint cimport uint64_t

from base.roles cimport Role


cdef extern from "requests/denials.h" namespace "laplace" nogil:
    cdef cppclass DenialCount "laplace::Denials::Count":
        Role role
        unsigned command
        uint64_t count
