from libc.stdint cimport uint32_t
from libcpp cimport bool

from base.roles cimport Role


cdef extern from "transport/server_keys.h" namespace "laplace" nogil:
    cdef cppclass ServerKeys:
        bool set_own(const unsigned char* secret_key) noexcept
        bool add(const unsigned char* public_key, Role role, uint32_t number) except +
