from libc.stdint cimport uint64_t
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.counters cimport ErrorKind
from documents.documents cimport Taken
from requests.job_queue cimport Render
from streams.subscribers cimport Grant
from transport.message cimport Message


cdef extern from "server/result_queue.h" namespace "laplace" nogil:
    cdef cppclass Result:
        uint64_t id
        string reply
        Render render
        vector[Message] arrays
        Taken taken
        string to
        string version
        unsigned command
        ErrorKind error
        bint denied
        Grant grant
        string refusal
        bint busy
