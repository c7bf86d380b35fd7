from libc.stdint cimport uint64_t


cdef extern from "base/counters.h" namespace "laplace" nogil:
    cdef cppclass Counter:
        uint64_t load() noexcept
        void store(uint64_t value) noexcept
    cdef cppclass LatencyHistogram:
        const Counter* buckets
    const size_t bucket_count "laplace::LatencyHistogram::bucket_count"
    const unsigned max_commands "laplace::Counters::max_commands"
    cdef enum class ErrorKind:
        none
        malformed
        version
        unknown_command
        payload
        handler
        not_permitted
        data
        busy
        stopping
        no_delimiter
        unroutable
        reply_overflow
        no_memory
        log_dropped
        subscriptions
    const size_t error_kind_count
    cdef enum class Refusal:
        not_zmtp
        zmtp_version
        mechanism
        socket_type
        malformed
        handshake_timeout
        message_size
        message_frames
        connections
        address
        displaced
        heartbeat
        no_memory
        route_size
        anonymous
        withdrawn
        unknown_key
        wrong_server_key
        not_authentic
    const size_t refusal_count
    cdef cppclass PerCommand "laplace::Counters::PerCommand":
        const Counter native
        const Counter python
    cdef cppclass Counters:
        const PerCommand* commands
        const Counter* errors
        const Counter bytes_in
        const Counter bytes_out
        const Counter pending
        const Counter pending_bytes
        const Counter pending_high_water
        const Counter parked_bytes
        const Counter waiting_bytes
        const Counter stale_gets
        const Counter refreshes
        const Counter connections
        const Counter connections_total
        const Counter* refused
        const LatencyHistogram native_latency
        const LatencyHistogram python_latency
