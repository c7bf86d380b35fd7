from libc.stdint cimport uint8_t, uint64_t


cdef extern from "base/roles.h" namespace "laplace" nogil:
    ctypedef uint8_t Role
    ctypedef uint64_t Roles
    const unsigned max_roles
    const Role anonymous_role
