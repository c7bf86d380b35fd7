# The table itself is the loop's; who reads it: server/server.pxd.
from libc.stdint cimport uint32_t, uint64_t
from libcpp.string cimport string


cdef extern from "requests/clients.h" namespace "laplace" nogil:
    cdef cppclass Seen "laplace::Clients::Seen":
        uint64_t id
        string name
        string host
        uint32_t key
        uint64_t since
        uint64_t heard
        unsigned command
        uint32_t connections
