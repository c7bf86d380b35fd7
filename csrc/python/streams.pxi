# Streams: declared, published to, and what their subscribers were sent.

import json

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.clock cimport deadline_after, now_ns, time_point, wall_clock_s
from base.std cimport string_view
from server.publisher cimport Publisher
from streams.stream cimport History, Range, Stream, sealed, would_cost
from streams.subscribers cimport Ledger
from transport.borrowed cimport any_returned
from transport.message cimport Message


@cython.final
cdef class StreamRef:
    """A stream of the server."""

    cdef shared_ptr[Stream] stream
    cdef str name
    cdef double patience_s  # how long a publisher waits for subscribers
    cdef uint64_t declared_ns

    def __dealloc__(self):
        self.stream.reset()
        let_go()  # the last of a server's streams gives back what it has borrowed


@cython.final
cdef class Streams:
    """The streams of a server; see `_core.pyi` for the methods."""

    cdef ServerRef server
    cdef dict by_name
    cdef StreamRef of_data  # what set_data appends to, or None
    cdef public object on_given_up

    def __cinit__(self, ServerRef server not None):
        self.server = server
        self.by_name = {}

    cdef Publisher* native(self) except NULL:
        return &self.server.here().streams()

    cdef StreamRef of(self, str name):
        """KeyError: not declared."""
        self.server.here()
        return self.by_name[name]

    def declare(self, str name, size_t history_bytes, uint64_t history_updates, patience_s,
                bint change, uint64_t first):
        """Make a stream; with `change`, one that is there already is changed."""
        cdef History history
        cdef StreamRef found = StreamRef()
        cdef string encoded = cpp(name.encode())
        cdef string quoted = cpp(json.dumps(name).encode())
        history.bytes = history_bytes
        history.updates = history_updates
        history.block = patience_s is not None
        # From here on no other thread runs Python: of two declarations, one comes first as a whole.
        known = self.by_name.get(name)
        found.stream = self.native().declare(encoded, quoted, history, change, first)
        if known is None:
            found.name = name
            found.declared_ns = now_ns()
            self.by_name[name] = found
        else:
            found = known
        if known is None or change:
            found.patience_s = 0.0 if patience_s is None else patience_s
        if name == "data":
            self.of_data = found

    def publish(self, name, data, timestamp, bint copy, uint64_t lost_before):
        """Append an update to a declared stream; its sequence number. KeyError: not declared."""
        cdef StreamRef found = self.by_name.get(name)
        cdef double time = wall_clock_s() if timestamp is None else timestamp
        cdef Unpublished update
        if found is None:
            raise KeyError(name)
        if not isfinite(time):
            raise ValueError(f"a timestamp is a number of seconds, not {time}")
        if PyDict_CheckExact(data) and is_flat(<dict>data):
            return self.append_flat(found, <dict>data, time, lost_before)
        if any_returned():
            let_go()
        update = Unpublished()
        make_update(update, data, copy, self.server.here().documents().bell())
        return self.append(
            found, update.whole(), update.loose, time, update.arrays, lost_before
        )

    cdef uint64_t append_flat(self, StreamRef found, dict data, double time,
                              uint64_t lost_before) except? 0:
        cdef vector[Message] no_arrays
        if any_returned():
            let_go()
        return self.append(
            found, checked_size(dumps(data)), False, time, no_arrays, lost_before
        )

    cdef uint64_t append(self, StreamRef found, bytes whole, bint loose, double time,
                         vector[Message]& arrays, uint64_t lost_before) except? 0:
        cdef Publisher* publisher = self.native()
        cdef Stream* stream = found.stream.get()
        cdef size_t size = <size_t>PyBytes_GET_SIZE(whole)
        cdef string_view text = string_view(PyBytes_AS_STRING(whole), size)
        cdef uint64_t number = publisher.append(stream[0], text, loose, time, arrays, lost_before)
        cdef time_point deadline
        if number == would_cost:
            deadline = deadline_after(found.patience_s)
        while number == would_cost:
            self.wait_for_subscribers(found, size, arrays, deadline, lost_before)
            number = publisher.append(stream[0], text, loose, time, arrays, lost_before)
        return 0 if number == sealed else number

    cdef void wait_for_subscribers(self, StreamRef found, size_t size, vector[Message]& arrays,
                                   time_point deadline, uint64_t lost_before) except *:
        cdef Stream* stream = found.stream.get()
        cdef bint in_time = False
        cdef bint over = False
        cdef time_point until
        while not in_time and not over:
            until = deadline_after(0.1)  # a signal, such as Ctrl-C, is to be noticed
            over = deadline <= until
            if over:
                until = deadline
            with nogil:
                in_time = stream.wait_for_subscribers(size, arrays, until, lost_before)
            PyErr_CheckSignals()
        if not in_time:
            self.give_up(found, size, arrays, lost_before)

    cdef void give_up(self, StreamRef found, size_t size, vector[Message]& arrays,
                      uint64_t lost_before) except *:
        """Wait no more for those who would lose by such an update."""
        cdef shared_ptr[Ledger] each
        for each in self.native().give_up(found.stream.get()[0], size, arrays, lost_before):
            if self.on_given_up is not None:
                self.on_given_up(found.name, each.get().who)

    def finish(self, str name, uint64_t lost, bint says_so):
        """The stream ends, and so many numbers behind its last update are lost."""
        self.native().finish(self.of(name).stream.get()[0], lost, says_so)

    def range_of(self, str name):
        """(first, last) number of the updates there are. KeyError: not declared."""
        cdef Range range = self.of(name).stream.get().range()
        return range.first, range.last

    def age_s(self, str name):
        """Seconds since the stream was declared. KeyError: it was not."""
        return <double>(now_ns() - self.of(name).declared_ns) / 1e9

    def names(self):
        return list(self.by_name)

    def history_bytes(self, str name):
        """Memory of a stream's history."""
        return self.of(name).stream.get().bytes()

    def answering(self):
        """Subscribers that are not silent."""
        return self.native().answering()

    def ledgers(self):
        """What each subscriber was sent and was not, as plain numbers."""
        cdef vector[shared_ptr[Ledger]] ledgers = self.native().ledgers()
        cdef shared_ptr[Ledger] each
        cdef StreamRef stream
        found = []
        for each in ledgers:
            stream = self.by_name[each.get().stream.decode()]
            found.append({
                "stream": stream.name,
                "who": each.get().who,
                "host": each.get().host,
                "key": each.get().key,
                "last": stream.stream.get().range().newest,
                "first": each.get().first.load(),
                "sent": each.get().sent.load(),
                "lost": each.get().lost.load(),
                "next": each.get().next.load(),
                "confirmed": each.get().confirmed.load(),
                "messages": each.get().messages.load(),
                "bytes": each.get().bytes.load(),
                "allowed_messages": each.get().allowed_messages.load(),
                "allowed_bytes": each.get().allowed_bytes.load(),
                "waited_for": each.get().waited_for.load(),
            })
        return found
