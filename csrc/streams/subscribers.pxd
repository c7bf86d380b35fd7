from libc.stdint cimport uint32_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string

from base.counters cimport Counter
from base.std cimport atomic_bool
from streams.stream cimport Stream


cdef extern from "streams/subscribers.h" namespace "laplace" nogil:
    const size_t max_subscriptions
    cdef cppclass Ledger:
        string stream
        string who
        string host
        uint32_t key
        Counter first
        Counter sent
        Counter lost
        Counter next
        Counter confirmed
        Counter messages
        Counter bytes
        Counter allowed_messages
        Counter allowed_bytes
        atomic_bool waited_for
    cdef cppclass Grant:
        shared_ptr[Stream] stream
        shared_ptr[Ledger] ledger
        shared_ptr[void] place
        uint32_t id
        bool latest_only
