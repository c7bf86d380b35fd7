# Requests for Python: taken from the loop, and their replies given back to it.

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libcpp.memory cimport make_shared, shared_ptr
from libcpp.utility cimport move
from libcpp.vector cimport vector

from base.counters cimport ErrorKind as NativeErrorKind, max_commands
from requests.job_queue cimport Answered, Attention, Denied, Job, Refused, Render
from server.result_queue cimport Result
from server.worker cimport Worker
from streams.subscribers cimport Ledger

# What next() returns when there is something to log.
LOG = "log"


cdef tuple unpacked(Job& job):
    body = PyBytes_FromStringAndSize(job.body.data(), <Py_ssize_t>job.body.size())
    address = job.address.decode(errors="replace") if job.address.size() else ""
    return job.id, body, job.strict, job.one_frame, job.role, job.key, address


@cython.final
cdef class Jobs:
    """What the loop leaves to Python; see `_core.pyi` for the methods."""

    cdef ServerRef server
    cdef Documents documents
    cdef Streams streams

    def __cinit__(self, ServerRef server not None, Documents documents not None,
                  Streams streams not None):
        self.server = server
        self.documents = documents
        self.streams = streams

    cdef Worker* native(self) except NULL:
        return &self.server.here().jobs()

    def next(self):
        """Block for work: (id, body, strict, one_frame, role, key, address), LOG, or None."""
        cdef Worker* native = self.native()
        cdef Job job
        cdef Attention attention = Attention.closed
        found = None
        while found is None:
            # Giving the GIL away may cost a switch interval, so only where there is need to wait.
            if not native.try_next(job, attention):
                with nogil:
                    attention = native.next(job)
            if attention == Attention.closed:
                return None
            if attention == Attention.log:
                return LOG
            found = self.taken(job)
        return found

    def next_builtin(self):
        """The job that the refresher was told of, as next() has it; None where it is gone."""
        cdef Job job
        return self.taken(job) if self.native().try_next_builtin(job) else None

    cdef tuple taken(self, Job& job):
        """The job for Python; None where there is no memory for it, and its client is told so."""
        cdef Result result
        try:
            return unpacked(job)
        except MemoryError:
            if not job.body.allocate(0):  # which frees what it was
                raise
        result.id = job.id
        result.busy = True
        self.hand_over(result, 0)
        return None

    def finish(self, uint64_t job, bytes reply, unsigned command, int error):
        """Hand over the reply to a job."""
        cdef Result result
        result.id = job
        result.reply = cpp(reply)
        result.error = <NativeErrorKind>error
        self.hand_over(result, command)

    def deny(self, uint64_t job, bytes reply, unsigned command):
        """Hand over the refusal of a job that its role does not permit."""
        cdef Result result
        result.id = job
        result.reply = cpp(reply)
        result.error = NativeErrorKind.not_permitted
        result.denied = True
        self.hand_over(result, command)

    def finish_get(self, uint64_t job, bytes to, bytes version, unsigned command):
        """Let the loop answer a GET with the data of the moment it is answered."""
        cdef Result result
        self.documents.make_missing_text()
        result.id = job
        result.render = Render.get
        result.to = cpp(to)
        result.version = cpp(version)
        self.hand_over(result, command)

    def finish_get_arrays(self, uint64_t job, bytes to, bytes version, unsigned command):
        """Answer with the data, its arrays beside the JSON text, as it is now.

        TypeError where it has become something that cannot be sent.
        """
        cdef Result result
        cdef Unpublished update = Unpublished()
        self.documents.take_data(update, result.taken)
        result.id = job
        result.render = Render.arrays
        result.to = cpp(to)
        result.version = cpp(version)
        described = b"[]" if update.described is None else update.described
        result.reply = cpp(b'{"data": ' + update.text + b', "arrays": ' + described + b"}")
        result.arrays.swap(update.arrays)
        self.hand_over(result, command)

    def finish_subscribe(self, uint64_t job, bytes reply, bytes refusal, unsigned command,
                         str name, bytes who, uint32_t subscription, uint64_t next,
                         uint64_t messages, uint64_t allowed_bytes, bint latest_only):
        """Hand over the reply to a SUBSCRIBE; with it the subscription begins, at `next`.

        `refusal` is the reply where its connection has as many as it may have.
        """
        cdef Result result
        cdef StreamRef stream = self.streams.of(name)
        cdef shared_ptr[Ledger] ledger = make_shared[Ledger]()
        ledger.get().stream = cpp(name.encode())
        ledger.get().who = cpp(who)
        ledger.get().first.store(next)
        ledger.get().next.store(next)
        ledger.get().confirmed.store(next)
        ledger.get().allowed_messages.store(messages)
        ledger.get().allowed_bytes.store(allowed_bytes)
        result.id = job
        result.reply = cpp(reply)
        result.refusal = cpp(refusal)
        result.grant.stream = stream.stream
        result.grant.ledger = ledger
        result.grant.place = self.streams.native().place()
        result.grant.id = subscription
        result.grant.latest_only = latest_only
        self.hand_over(result, command)

    cdef void hand_over(self, Result& result, unsigned command) except *:
        """To the loop; waits, without the GIL, where too many bytes are on their way there."""
        cdef Worker* native = self.native()
        result.command = command if command < max_commands else 0
        if not native.try_finish(result):
            with nogil:
                native.finish(move(result))

    def look_each(self, double seconds):
        """From now on next() returns LOG each time that these have passed; it counts once."""
        self.native().look_each(<uint64_t>(seconds * 1e9))

    def take_log(self):
        """Native answers since the last call, for the log: [(command index, from text)]."""
        cdef vector[Answered] records = self.native().take_log()
        return [(record.command, record.sender) for record in records]

    def take_denials(self):
        """Denials to tell the log of: [(role, command, peer's address, how many more, key)]."""
        cdef vector[Denied] records = self.native().take_denials()
        return [
            (record.role, record.command, record.address.decode(errors="replace"), record.more,
             record.key)
            for record in records
        ]

    def take_refusals(self):
        """Connections to tell the log of: [(Refusal, peer's address, how many more, its key)]."""
        cdef vector[Refused] records = self.native().take_refusals()
        return [
            (Refusal(<int>record.reason), record.address.decode(errors="replace"), record.more,
             <bytes>record.key)
            for record in records
        ]
