# The queue itself is the loop's; what takes jobs out of it: server/worker.pxd.
from libc.stdint cimport uint32_t, uint64_t
from libcpp cimport bool
from libcpp.string cimport string

from base.counters cimport Refusal
from base.roles cimport Role
from transport.message cimport Message


cdef extern from "requests/job_queue.h" namespace "laplace" nogil:
    cdef cppclass Job:
        uint64_t id
        Message body
        Role role
        uint32_t key
        string address
        bool strict
        bool one_frame
    cdef enum class Render:
        nothing
        get
        arrays
    cdef cppclass Answered:
        unsigned command
        string sender "from"
    cdef cppclass Refused:
        Refusal reason
        string address
        uint64_t more
        string key
    cdef cppclass Denied:
        Role role
        unsigned command
        string address
        uint64_t more
        uint32_t key
    cdef enum class Attention:
        job
        log
        closed
