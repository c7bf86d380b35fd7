from libc.stdint cimport int64_t, uint64_t
from libcpp cimport bool
from libcpp.string cimport string

from requests.budgets cimport Limits


cdef extern from "server/config.h" namespace "laplace" nogil:
    cdef enum class TransportKind:
        tcp
        libzmq
    cdef cppclass Config:
        string address
        uint64_t epoch
        TransportKind transport
        int64_t max_message_bytes
        int max_message_frames
        int max_connections
        int max_connections_per_address
        int max_subscriptions_per_connection
        int handshake_timeout_ms
        bool anonymous
        int refresh_timeout_ms
        int spin_us
        bool real_time
        int subscriber_silence_ms
        int refusal_log_ms
        Limits limits
