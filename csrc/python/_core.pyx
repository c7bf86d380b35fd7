# distutils: language = c++
"""The compiled core: the Python boundary of the C++ server in this folder.

Only the facade and the tests import it. Policy (texts, handlers, logging) is theirs.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.operator cimport dereference
from libc.stdint cimport uint64_t
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.counters cimport (
    Counters, bucket_count, error_kind_count, max_commands, refusal_count)
from base.roles cimport Roles
from requests.clients cimport Seen
from requests.denials cimport DenialCount
from server.config cimport Config, TransportKind as NativeTransportKind
from server.server cimport Server, create_server, fork_count, watch_forks

import zmq as pyzmq


cdef string cpp(bytes text):
    return string(PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text))


cdef double seconds_between(uint64_t then, uint64_t now) noexcept:
    """Of a moment that another thread may have noted since, 0."""
    return <double>(now - then) / 1e9 if then < now else 0.0


# From values of Python to JSON text and frames.
include "arrays.pxi"
include "private_copy.pxi"
include "own_copy.pxi"
include "encode.pxi"
include "updates.pxi"
# A server, by concern.
include "constants.pxi"
include "environment.pxi"
include "sodium.pxi"
include "server_keys.pxi"
include "dispatch.pxi"
include "server_ref.pxi"
include "streams.pxi"
include "documents.pxi"
include "jobs.pxi"

if not watch_forks():
    raise ImportError("laplace_server.server._core: no memory to watch for forks")


@cython.final
cdef class Core:
    """A native server: its life and its configuration. See `_core.pyi` for the methods."""

    cdef ServerRef server
    cdef readonly Documents documents
    cdef readonly Streams streams
    cdef readonly Jobs jobs
    cdef NativeTransportKind transport
    cdef object __weakref__

    def __cinit__(self, *, bytes address, uint64_t epoch, int transport,
                  long long max_message_bytes, int max_message_frames,
                  long long max_waiting_bytes, int max_connections,
                  int max_connections_per_address, int max_subscriptions_per_connection,
                  int handshake_timeout_ms, bint anonymous,
                  int refresh_timeout_ms, int spin_us, bint real_time, dict limits):
        cdef Config config
        cdef shared_ptr[Server] made
        cdef int error = 0
        config.address = cpp(address)
        config.epoch = epoch
        config.transport = self.transport = <NativeTransportKind>transport
        config.max_message_bytes = max_message_bytes
        config.max_message_frames = max_message_frames
        config.max_connections = max_connections
        config.max_connections_per_address = max_connections_per_address
        config.max_subscriptions_per_connection = max_subscriptions_per_connection
        config.handshake_timeout_ms = handshake_timeout_ms
        config.anonymous = anonymous
        config.refresh_timeout_ms = refresh_timeout_ms
        config.spin_us = spin_us
        config.real_time = real_time
        config.subscriber_silence_ms = limits["subscriber_silence_ms"]
        config.refusal_log_ms = limits["refusal_log_ms"]
        config.limits.pending = limits["pending"]
        config.limits.pending_bytes = limits["pending_bytes"]
        config.limits.peer_pending = limits["peer_pending"]
        config.limits.peer_pending_bytes = limits["peer_pending_bytes"]
        config.limits.peer_parked_bytes = <size_t>max_waiting_bytes
        self.server = ServerRef()
        with nogil:
            made = create_server(config, error)
        if made.get() == NULL:
            problem = pyzmq.ZMQError(error)
            raise pyzmq.ZMQError(error, f"{problem.strerror} (addr={address.decode()!r})")
        self.server.server = new shared_ptr[Server](made)
        self.streams = Streams(self.server)
        self.documents = Documents(self.server, self.streams)
        self.jobs = Jobs(self.server, self.documents, self.streams)

    # ---- life

    @property
    def forked(self):
        return self.server.forked()

    def endpoint(self):
        return self.server.here().endpoint().decode()

    def held_endpoint(self):
        cdef Server* server = dereference(self.server.server).get()  # in a forked child, too
        return server.endpoint().decode() if server.holds_port() else ""

    def start(self):
        cdef int error = self.server.here().start()
        if error != 0:
            raise OSError(error, "the server's native thread could not be started")

    def started(self):
        return self.server.here().started()

    def request_stop(self):
        cdef Server* server = self.server.here()
        with nogil:
            server.request_stop()

    def wait_ended(self, int milliseconds):
        cdef Server* server = self.server.here()
        cdef bint ended
        with nogil:
            ended = server.wait_ended(milliseconds)
        let_go()
        return ended

    def fault(self):
        return self.server.here().fault()

    # ---- configuration

    def set_table(self, list commands, list accepted_versions, dict templates, dict texts,
                  dict rights):
        self.server.here().set_table(
            dispatch_table(commands, accepted_versions, templates, texts, rights))

    def set_take_after_get(self, bint take):
        self.server.here().set_take_after_get(take)

    def set_log_answers(self, bint log):
        self.server.here().set_log_answers(log)

    def use_keys(self, ServerKeys keys, bint anonymous):
        cdef shared_ptr[NativeServerKeys] native
        cdef Server* server = self.server.here()
        if keys is not None:
            if self.transport == NativeTransportKind.libzmq:
                raise ValueError("libzmq's sockets know nothing of these keys")
            native = keys.native
        server.use_keys(<shared_ptr[const NativeServerKeys]>native, anonymous)

    def end_subscriptions(self, Roles roles):
        self.server.here().end_subscriptions(roles)

    # ---- clients

    def clients(self):
        """Who is there: [(id, name, host, key, age, seconds since the last request, its command
        index, connections)]."""
        cdef uint64_t now = now_ns()
        cdef vector[Seen] seen = self.server.here().clients(now)
        return [
            (each.id, <bytes>each.name, each.host.decode(errors="replace"), each.key,
             seconds_between(each.since, now), seconds_between(each.heard, now),
             each.command, each.connections)
            for each in seen
        ]

    def clients_left_out(self):
        return self.server.here().clients_left_out()

    # ---- counters

    def denials(self):
        """Requests that roles did not permit: [(role, command index, how many)]."""
        cdef vector[DenialCount] counts = self.server.here().denials()
        return [(each.role, each.command, each.count) for each in counts]

    def counters(self):
        """All counters, as plain numbers and lists."""
        cdef const Counters* counters = &self.server.here().counters()
        cdef size_t i
        return {
            "native": [counters.commands[i].native.load() for i in range(max_commands)],
            "python": [counters.commands[i].python.load() for i in range(max_commands)],
            "errors": [counters.errors[i].load() for i in range(error_kind_count)],
            "native_latency": [
                counters.native_latency.buckets[i].load() for i in range(bucket_count)],
            "python_latency": [
                counters.python_latency.buckets[i].load() for i in range(bucket_count)],
            "bytes_in": counters.bytes_in.load(),
            "bytes_out": counters.bytes_out.load(),
            "pending": counters.pending.load(),
            "pending_bytes": counters.pending_bytes.load(),
            "pending_high_water": counters.pending_high_water.load(),
            "refused": [counters.refused[i].load() for i in range(refusal_count)],
            "parked_bytes": counters.parked_bytes.load(),
            "waiting_bytes": counters.waiting_bytes.load(),
            "stale_gets": counters.stale_gets.load(),
            "refreshes": counters.refreshes.load(),
            "connections": counters.connections.load(),
            "connections_total": counters.connections_total.load(),
        }


# What works with a server as a whole.
include "publishing.pxi"
