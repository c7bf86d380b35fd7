# distutils: language = c++
"""The compiled core: the Python boundary of the C++ server in this folder.

Only the facade and the tests import it. Policy (texts, handlers, logging) is theirs.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.operator cimport dereference
from libc.string cimport memcmp, memcpy
from libcpp.memory cimport make_shared
from libcpp.utility cimport move

from native cimport *

import zmq as pyzmq

from laplace_server.errors import ForkedServerError

include "arrays.pxi"
include "private_copy.pxi"
include "own_copy.pxi"
include "encode.pxi"
include "updates.pxi"
include "incoming.pxi"

DATA = DOCUMENT_DATA
INFO = DOCUMENT_INFO

ERROR_KIND_COUNT = ERROR_KINDS
MAX_COMMANDS = max_commands

# What next_job() returns when there are answers to log.
LOG = "log"

# At the door of set_data the facade's local variable and the call's argument refer to the
# data. Two references are these, so nobody else has one; more may be anybody's. (A method
# with one positional-only argument adds none of its own.) Before 3.11 callers keep theirs
# during the call, after 3.13 calls borrow: there a count at the door says nothing.
cdef Py_ssize_t AT_THE_DOOR = 2 if (3, 11) <= sys.version_info < (3, 14) else -1

# The text of arrays of this many bytes and more is made when it is asked for.
cdef Py_ssize_t LARGE_ARRAYS = 64 * 1024

# Of data that cannot be sent, told once each.
cdef Py_ssize_t MOST_REASONS = 100

if not watch_forks():
    raise ImportError("laplace_server._core: no memory to watch for forks")


def load_libzmq(str path, bint only_loaded):
    """Fill the table of libzmq functions from the shared library at `path`.

    Returns "" or why it did not work: "not found", "lacks zmq_...", "too old".
    With `only_loaded`, a library that is not in this process yet is not found.
    """
    cdef const char* missing = NULL
    encoded = path.encode()
    cdef load_status status = c_load_zmq(encoded, only_loaded, &missing)
    if status == load_status.loaded:
        return ""
    if status == load_status.symbol_missing:
        return f"lacks {missing.decode()}"
    return "too old" if status == load_status.too_old else "not found"


def encode_json(dict value not None):
    """JSON text of a dict: NaN and infinities as literals, NumPy values, long integers.

    TypeError, naming the place, where a value cannot be written.
    """
    return encode(copy_document(value, False, Walk()))


def libzmq_version():
    """(major, minor, patch) of the libzmq in use, and the address of its zmq_version."""
    cdef int major = 0, minor = 0, patch = 0
    if zmq_identity() == NULL:
        raise RuntimeError("libzmq is not loaded")
    zmq.version(&major, &minor, &patch)
    return (major, minor, patch), <size_t>zmq_identity()


def may_be_real_time():
    """Whether the system permits threads that get a core before whatever computes."""
    return c_may_be_real_time()


def interface_addresses():
    """The addresses of this machine's interfaces: see `_core.pyi`."""
    cdef vector[InterfaceAddress] found
    cdef int error
    with nogil:
        error = list_interfaces(found)
    if error != 0:
        raise OSError(error, "the system does not list its network interfaces")
    return [
        (each.name.decode(errors="surrogateescape"), <bytes>each.address,
         each.running, each.loopback, each.internal)
        for each in found
    ]


cdef object described(const ls_value& value):
    if value.kind == LS_ABSENT:
        return None
    return value.text[:value.size], value.kind, value.truth, value.escaped != 0


def scan_envelope(bytes data not None):
    """What the loop sees: (verdict, {member: None or (text, kind, truth, escaped)})."""
    cdef ls_envelope found
    cdef int verdict = ls_scan(PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), &found)
    return verdict, {
        "version": described(found.version),
        "cmd": described(found.cmd),
        "from": described(found.sender),
        "payload": described(found.payload),
    }


cdef string cpp(bytes text):
    return string(PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text))


cdef void check_dict(source) except *:
    if not isinstance(source, dict):
        raise TypeError(f"data must be a dict, not {type(source).__name__}")


cdef void fill_template(ReplyTemplate& template, list pieces) except *:
    cdef Piece piece
    for literal, hole in pieces:
        piece.literal = cpp(literal)
        piece.hole = hole
        template.pieces.push_back(piece)


cdef class Document:
    """The Python side of one document: the objects behind its text."""

    cdef object source         # the dict handed over, or the server's own copy of it
    cdef uint64_t generation   # of the two
    cdef object private        # of what cannot change, where it has arrays: what texts are made of
    cdef bint shared           # the arrays of `private` are those of `source`
    cdef dict written          # Values of the arrays of the last look, by id of who had them
    cdef bint large            # its text is made when somebody asks for it
    cdef unsigned long reads   # how often references were handed out

    def __cinit__(self):
        self.source = {}
        self.written = {}

    cdef void keep(self, private, Walk walk) noexcept:
        """Note a copy of what cannot change: its arrays need not be copied."""
        self.private = private if walk.arrays else None
        self.shared = self.private is not None

    cdef void let_go_of_texts(self) noexcept:
        """Of single arrays: the whole text is there, and will not be made again."""
        cdef Values values
        for values in self.written.values():
            values.pieces = values.listed = None


cdef class Core:
    """A native server. Constructing it binds; see `_core.pyi` for the methods."""

    cdef shared_ptr[Server]* server
    cdef unsigned forks
    cdef Document data
    cdef Document info
    cdef dict streams           # by name
    cdef StreamRef data_stream  # what set_data appends to, or None
    cdef public object on_given_up
    cdef public object on_unfit
    cdef public object on_refused
    cdef set refused            # why data was refused, as told since there was better
    cdef object __weakref__

    def __cinit__(self, *, bytes address, uint64_t epoch, long long max_message_bytes,
                  int refresh_timeout_ms, int spin_us, bint real_time, dict limits):
        self.server = NULL
        self.forks = fork_count()
        self.data = Document()
        self.info = Document()
        self.streams = {}
        self.refused = set()
        cdef Config config
        cdef int error = 0
        config.address = cpp(address)
        config.epoch = epoch
        config.max_message_bytes = max_message_bytes
        config.refresh_timeout_ms = refresh_timeout_ms
        config.spin_us = spin_us
        config.real_time = real_time
        config.limits.pending = limits["pending"]
        config.limits.pending_bytes = limits["pending_bytes"]
        config.limits.peer_pending = limits["peer_pending"]
        config.limits.peer_pending_bytes = limits["peer_pending_bytes"]
        config.limits.peer_parked_bytes = limits["peer_parked_bytes"]
        cdef shared_ptr[Server] made
        with nogil:
            made = create_server(config, error)
        if made.get() == NULL:
            problem = pyzmq.ZMQError(error)
            raise pyzmq.ZMQError(error, f"{problem.strerror} (addr={address.decode()!r})")
        self.server = new shared_ptr[Server](made)

    def __dealloc__(self):
        # In a forked child the threads and sockets are the parent's: leave them alone.
        if self.server != NULL and self.forks == fork_count():
            with nogil:
                dereference(self.server).get().request_stop()
                del self.server
            let_go()

    cdef Server* here(self) except NULL:
        if self.forks != fork_count():
            raise ForkedServerError(
                "this server belongs to the parent process; a forked child cannot use it. "
                "Start child processes with the 'spawn' method, or make the server in the child")
        return dereference(self.server).get()

    # ---- life

    @property
    def forked(self):
        return self.forks != fork_count()

    def endpoint(self):
        return self.here().endpoint().decode()

    def held_endpoint(self):
        cdef Server* server = dereference(self.server).get()  # in a forked child, too
        return server.endpoint().decode() if server.holds_port() else ""

    def start(self):
        cdef int error = self.here().start()
        if error != 0:
            raise OSError(error, "the server's native thread could not be started")

    def started(self):
        return self.here().started()

    def request_stop(self):
        cdef Server* server = self.here()
        with nogil:
            server.request_stop()

    def wait_ended(self, int milliseconds):
        cdef Server* server = self.here()
        cdef bint ended
        with nogil:
            ended = server.wait_ended(milliseconds)
        let_go()
        return ended

    def fault(self):
        return self.here().fault()

    # ---- configuration

    def set_table(self, list commands, list accepted_versions, dict templates, dict texts):
        cdef DispatchTable table
        cdef Command command
        for name, action, index in commands:
            command.name = cpp(name)
            command.action = action
            command.index = index if index < max_commands else 0
            table.commands.push_back(command)
        for version in accepted_versions:
            table.accepted_versions.push_back(cpp(version))
        fill_template(table.ping, templates["ping"])
        fill_template(table.info, templates["info"])
        fill_template(table.get, templates["get"])
        fill_template(table.arrays, templates["arrays"])
        fill_template(table.error, templates["error"])
        table.default_version = cpp(texts["version"])
        table.unknown = cpp(texts["unknown"])
        table.busy = cpp(texts["busy"])
        table.stopping = cpp(texts["stopping"])
        cdef shared_ptr[DispatchTable] published = make_shared[DispatchTable](table)
        self.here().shared.set_table(<shared_ptr[const DispatchTable]>published)

    def set_take_after_get(self, bint take):
        self.here().shared.take_after_get.store(take)

    def set_log_answers(self, bint log):
        self.here().shared.log_answers.store(log)

    # ---- documents

    cdef Document document(self, int which):
        return self.data if which == DOCUMENT_DATA else self.info

    cdef void put(self, Document document, document_id which, source, Text& text, bint is_error,
                  bint live, private=None, Walk walk=None) except *:
        """Replace a document. Without a text, it is made at the first read."""
        # Between these lines no Python runs: the objects and their text change as one.
        cdef Server* server = self.here()
        cdef bint unmade = text.get() == NULL
        _before = document.source, document.private, document.written  # freed when all is done
        document.source = source
        document.private = None
        document.shared = False
        document.written = {} if walk is None else walk.arrays
        document.large = unmade
        if not live:
            document.keep(private, walk)
            if not unmade:
                document.let_go_of_texts()
        document.generation = server.replace_document(which, move(text), is_error, live)
        if live and not unmade:
            server.shared.documents.ask_look(which)

    def set_data(self, source, /):
        """Replace the data. TypeError where it is no dict; what cannot be written is told."""
        self.store(source, Py_REFCNT(<PyObject*>source) <= AT_THE_DOOR)

    def set_data_copy(self, source, /):
        """Keep a copy of the data. TypeError where it cannot be written; the old data stays."""
        cdef Kept kept = Kept()
        cdef Walk walk = Walk()
        self.here()
        check_dict(source)
        own = own_copy(source, kept)
        private = copy_document(own, True, walk) if kept.converts else own
        self.store_private(own, private, walk, True)

    cdef void store(self, source, bint exclusive) except *:
        cdef Walk walk = Walk()
        self.here()
        check_dict(source)
        try:
            private = copy_document(source, exclusive, walk)
            self.store_private(source, private, walk, walk.owned)
        except TypeError as problem:
            self.store_refused(source, str(problem))

    cdef void store_private(self, source, private, Walk walk, bint frozen) except *:
        """Store data with a copy that is nobody else's; `frozen`: `source` cannot change either."""
        cdef Server* server = self.here()
        cdef StreamRef stream = self.data_stream
        cdef Unpublished update
        cdef Text text
        # What is given away once must have a text to be taken.
        cdef bint later = (walk.array_bytes >= LARGE_ARRAYS
                           and not server.shared.take_after_get.load())
        if any_returned():
            let_go()
        if not frozen and later and stream is None:
            walk.arrays = {}  # they are copied when they are looked at
        elif not frozen:
            walk.separate_arrays()
        if not later:
            text = text_of(private)
        if stream is not None:  # before anything changes: it may be too large
            update = Unpublished()
            try:
                encode_update(update, private, walk.loose, False, server.shared.documents.bell())
                whole = update.whole()
            except ValueError as problem:  # no reason not to set the data
                stream = None
                if self.on_unfit is not None:
                    self.on_unfit("data", str(problem))
        walk.let_go()
        self.put(self.data, DOCUMENT_DATA, source, text, False, not frozen, private, walk)
        self.refused.clear()
        if stream is not None:
            self.append(stream, whole, update.loose, wall_clock_s(), update.arrays)

    cdef void store_refused(self, source, str problem) except *:
        """Data that cannot be written: readers get an error, until it can, or other data comes."""
        cdef Text text = self.refusal(DOCUMENT_DATA, problem)
        self.put(self.data, DOCUMENT_DATA, source, text, True, True)

    cdef Text refusal(self, int which, str problem) except *:
        """An error's text for readers; told once for each reason until there is better data."""
        if which == DOCUMENT_DATA and problem not in self.refused:
            if len(self.refused) >= MOST_REASONS:
                self.refused.clear()
            self.refused.add(problem)
            if self.on_refused is not None:
                self.on_refused(problem)
        return shared_text(json.dumps(problem).encode())

    def set_info(self, dict source):
        cdef Walk walk = Walk()
        private = copy_document(source, False, walk)
        walk.separate_arrays()
        self.put(self.info, DOCUMENT_INFO, source, text_of(private), False, True)

    def read(self, int which):
        """What is behind a document; it may be changed from now on."""
        return self.read_data() if which == DOCUMENT_DATA else self.read_info()

    cdef dict read_info(self):
        """The dict itself."""
        cdef Server* server = self.here()
        self.info.reads += 1
        server.shared.documents.mark_live(DOCUMENT_INFO, self.info.generation)
        return self.info.source

    cdef dict read_data(self):
        """A new dict; what is in it may be changed from now on."""
        cdef Document document = self.data
        cdef Server* server = self.here()
        if server.shared.documents.generation(DOCUMENT_DATA) != document.generation:
            return {}  # taken by a GET
        source = document.source
        if not PyDict_CheckExact(source) or not is_flat(<dict>source):
            if document.shared:  # what is being written and sent stays out of reach
                document.shared = False
                exchange_arrays(source)
            document.reads += 1
            document.private = None
            server.shared.documents.mark_live(DOCUMENT_DATA, document.generation)
        return dict(source)

    def data_error(self):
        """Why the data cannot be written, where readers are told so; None: it can."""
        cdef Text text = self.here().shared.documents.error(DOCUMENT_DATA)
        return json.loads(text.get()[0]) if text.get() != NULL else None

    def look(self, int which):
        """Make a document's text, where it may have changed or has none yet.

        It is frozen if nobody can change it any more.
        """
        cdef Document document = self.document(which)
        cdef Server* server = self.here()
        cdef document_id number = <document_id>which
        if any_returned():
            let_go()
        if not (server.shared.documents.is_live(number)
                or server.shared.documents.is_unmade(number)):
            return
        cdef Look look = server.shared.documents.begin_look(number)
        if document.generation != look.generation:
            return  # taken meanwhile
        cdef unsigned long reads = document.reads
        cdef Walk walk = Walk()
        cdef bint live = False
        cdef bint error = False
        cdef Text text
        private = document.private
        try:
            if private is None:
                private = self.copy_of(document, walk)
                live = not walk.owned
            text = text_of(private)
        except BaseException as problem:  # somebody's values: they may raise anything
            error = live = True
            text = self.refusal(which, shown(problem, str) or type(problem).__name__)
        live = live or document.reads != reads
        server.finish_look(number, look, text, error, live)
        if not live and document.generation == look.generation:
            document.let_go_of_texts()
        if which == DOCUMENT_DATA and not error:
            self.refused.clear()

    cdef object copy_of(self, Document document, Walk walk):
        """A private copy of a document that may have changed, with arrays of one moment."""
        # The document's own reference is one; the local variable below would be another.
        cdef bint exclusive = Py_REFCNT(<PyObject*>document.source) == 1
        cdef unsigned long reads = document.reads
        source = document.source
        private = copy_document(source, exclusive, walk)
        # The walk may have run Python of somebody's: other data may be there, or have been read.
        walk.owned = walk.owned and document.source is source and document.reads == reads
        if not walk.owned:
            walk.separate_arrays(document.written)
        walk.let_go()
        if document.source is source:
            document.large = walk.array_bytes >= LARGE_ARRAYS
            document.written = walk.arrays
            if walk.owned:
                document.keep(private, walk)
        return private

    def settle(self):
        """After a callback: the next read of live data shows what that did."""
        cdef Server* server = self.here()
        cdef Document document = self.data
        cdef uint64_t generation
        if not server.shared.documents.is_live(DOCUMENT_DATA):
            return
        if not document.large or server.shared.take_after_get.load():
            self.look(DOCUMENT_DATA)
            return
        generation = server.shared.documents.touch(DOCUMENT_DATA, document.generation)
        if generation != 0:
            document.generation = generation

    def wait_look(self):
        """Block until a document wants a look: DATA or INFO, or None when the server ends."""
        cdef Server* server = self.here()
        cdef int which = LOOK_AT_LOANS
        while which == LOOK_AT_LOANS:
            with nogil:
                which = server.shared.documents.wait_look()
            let_go()
        return None if which == LOOK_NO_MORE else which

    # ---- streams

    def declare_stream(self, str name, size_t history_bytes, uint64_t history_updates,
                       patience_s, bint change):
        """Make a stream; with `change`, one that is there already is changed."""
        cdef History history
        cdef StreamRef found = StreamRef()
        cdef string encoded = cpp(name.encode())
        cdef string quoted = cpp(json.dumps(name).encode())
        history.bytes = history_bytes
        history.updates = history_updates
        history.block = patience_s is not None
        # From here on no other thread runs Python: of two declarations, one comes first as a whole.
        known = self.streams.get(name)
        found.stream = self.here().shared.streams.declare(encoded, quoted, history, change)
        if known is None:
            found.name = name
            self.streams[name] = found
        else:
            found = known
        if known is None or change:
            found.patience_s = 0.0 if patience_s is None else patience_s
        if name == "data":
            self.data_stream = found

    def publish(self, name, data, timestamp, bint copy):
        """Append an update to a declared stream; its sequence number. KeyError: not declared."""
        cdef StreamRef found = self.streams.get(name)
        cdef double time = wall_clock_s() if timestamp is None else timestamp
        cdef vector[Message] no_arrays
        cdef Unpublished update
        if found is None:
            raise KeyError(name)
        if not isfinite(time):
            raise ValueError(f"a timestamp is a number of seconds, not {time}")
        if any_returned():
            let_go()
        if PyDict_CheckExact(data) and is_flat(<dict>data):
            return self.append(
                found, checked_size(dumps(data, None, OPTIONS)), False, time, no_arrays)
        update = Unpublished()
        make_update(update, data, copy, self.here().shared.documents.bell())
        return self.append(found, update.whole(), update.loose, time, update.arrays)

    cdef uint64_t append(self, StreamRef found, bytes whole, bint loose, double time,
                         vector[Message]& arrays) except? 0:
        cdef Server* server = self.here()
        cdef Stream* stream = found.stream.get()
        cdef size_t size = <size_t>PyBytes_GET_SIZE(whole)
        cdef string_view text = string_view(PyBytes_AS_STRING(whole), size)
        cdef uint64_t number = stream.append(text, loose, time, arrays)
        cdef time_point deadline
        if number == would_cost:
            deadline = deadline_after(found.patience_s)
        while number == would_cost:
            self.wait_for_followers(found, size, arrays, deadline)
            number = stream.append(text, loose, time, arrays)
        if number == sealed:
            return 0
        if stream.word_is_wanted():
            server.shared.wake()
        return number

    cdef void wait_for_followers(self, StreamRef found, size_t size, vector[Message]& arrays,
                                 time_point deadline) except *:
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
                in_time = stream.wait_for_followers(size, arrays, until)
            PyErr_CheckSignals()
        if not in_time:
            self.tell_given_up(found, stream.give_up(size, arrays))

    cdef void tell_given_up(self, StreamRef found, const vector[Cursor]& cursors) except *:
        cdef shared_ptr[Ledger] each
        for each in self.here().shared.streams.give_up(cursors):
            if self.on_given_up is not None:
                self.on_given_up(found.name, each.get().who)

    def stream_range(self, str name):
        """(first, last) number of the updates there are. KeyError: not declared."""
        self.here()
        cdef Range range = (<StreamRef>self.streams[name]).stream.get().range()
        return range.first, range.last

    def stream_names(self):
        return list(self.streams)

    def stream_bytes(self, str name):
        """Memory of a stream's history."""
        self.here()
        return (<StreamRef>self.streams[name]).stream.get().bytes()

    def ledgers(self):
        """What each subscriber was sent and was not, as plain numbers."""
        cdef vector[shared_ptr[Ledger]] ledgers = self.here().shared.streams.ledgers()
        cdef shared_ptr[Ledger] each
        cdef StreamRef stream
        found = []
        for each in ledgers:
            stream = self.streams[each.get().stream.decode()]
            found.append({
                "stream": each.get().stream.decode(),
                "who": each.get().who,
                "last": stream.stream.get().range().last,
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

    # ---- requests for Python

    def next_job(self):
        """Block for work: (id, body, strict, one_frame), LOG, or None when the server ends."""
        cdef Server* server = self.here()
        cdef Job job
        cdef Attention attention = Attention.closed
        # Giving the GIL away may cost a switch interval, so only where there is need to wait.
        if not server.shared.inbox.try_next(job, attention):
            with nogil:
                attention = server.shared.inbox.next(job)
        if attention == Attention.closed:
            return None
        if attention == Attention.log:
            return LOG
        body = PyBytes_FromStringAndSize(job.body.data(), <Py_ssize_t>job.body.size())
        return job.id, body, job.strict, job.one_frame

    def finish(self, uint64_t job, bytes reply, unsigned command, int error):
        """Hand over the reply to a job."""
        cdef Finished finished
        finished.id = job
        finished.reply = cpp(reply)
        self.hand_over(finished, command, error)

    def finish_get(self, uint64_t job, bytes to, bytes version, unsigned command):
        """Let the loop answer a GET with the data of the moment it is answered."""
        cdef Finished finished
        if self.here().shared.documents.is_unmade(DOCUMENT_DATA):
            self.look(DOCUMENT_DATA)
        finished.id = job
        finished.render = RENDER_GET
        finished.to = cpp(to)
        finished.version = cpp(version)
        self.hand_over(finished, command, 0)

    def finish_get_arrays(self, uint64_t job, bytes to, bytes version, unsigned command):
        """Answer with the data, its arrays beside the JSON text, as it is now.

        TypeError where it has become something that cannot be sent.
        """
        cdef Finished finished
        cdef Unpublished update = Unpublished()
        self.take_data(update, finished.taken)
        finished.id = job
        finished.render = RENDER_ARRAYS
        finished.to = cpp(to)
        finished.version = cpp(version)
        described = b"[]" if update.described is None else update.described
        finished.reply = cpp(b'{"data": ' + update.text + b', "arrays": ' + described + b"}")
        finished.arrays.swap(update.arrays)
        self.hand_over(finished, command, 0)

    cdef void take_data(self, Unpublished update, Taken& taken) except *:
        """The data as it is now, and taken where each value is given away once."""
        cdef Server* server = self.here()
        cdef Document document = self.data
        cdef Walk walk = Walk()
        cdef Ticket anything
        cdef Content content
        cdef bint take = server.shared.take_after_get.load()
        cdef bint live
        if any_returned():
            let_go()
        if take:
            self.look(DOCUMENT_DATA)  # what has no text yet cannot be taken
        # From here to the end of the next lines no Python runs: no other data comes. It may be
        # taken by the loop meanwhile, and put back.
        live = server.shared.documents.is_live(DOCUMENT_DATA)
        server.shared.documents.read_now(DOCUMENT_DATA, take, anything, content, &taken)
        cdef bint is_this = document.generation == (
            content.generation if take else server.shared.documents.generation(DOCUMENT_DATA))
        source, private = document.source, document.private
        try:
            if is_this and private is None and live:
                private = copy_document(source, False, walk)
                walk.separate_arrays()
            if is_this and private is not None:
                encode_update(update, private, False, False, server.shared.documents.bell())
            elif content.is_error:
                raise TypeError(json.loads(content.text.get()[0]))
            else:  # frozen, or taken by somebody: the text says it all
                update.text = content.text.get()[0]
        except BaseException:
            server.shared.documents.put_back(DOCUMENT_DATA, taken)
            if is_this:
                self.look(DOCUMENT_DATA)  # what is wrong with it now
            raise
        if is_this and content.is_error:
            self.look(DOCUMENT_DATA)  # and it has been mended

    def finish_subscribe(self, uint64_t job, bytes reply, unsigned command, str name, bytes who,
                         uint32_t subscription, uint64_t next, uint64_t messages,
                         uint64_t allowed_bytes, bint latest_only):
        """Hand over the reply to a SUBSCRIBE; with it the subscription begins, at `next`."""
        cdef Finished finished
        cdef StreamRef stream = self.streams[name]
        cdef shared_ptr[Ledger] ledger = make_shared[Ledger]()
        ledger.get().stream = cpp(name.encode())
        ledger.get().who = cpp(who)
        ledger.get().first.store(next)
        ledger.get().next.store(next)
        ledger.get().confirmed.store(next)
        ledger.get().allowed_messages.store(messages)
        ledger.get().allowed_bytes.store(allowed_bytes)
        finished.id = job
        finished.reply = cpp(reply)
        finished.subscription.stream = stream.stream
        finished.subscription.ledger = ledger
        finished.subscription.id = subscription
        finished.subscription.latest_only = latest_only
        self.hand_over(finished, command, 0)

    cdef void hand_over(self, Finished& finished, unsigned command, int error) except *:
        finished.command = command if command < max_commands else 0
        finished.error = error
        self.here().finish_job(move(finished))

    def take_log(self):
        """Native answers since the last call, for the log: [(command index, from text)]."""
        cdef vector[Answered] records = self.here().shared.inbox.take_log()
        return [(record.command, record.sender) for record in records]

    # ---- counters

    def counters(self):
        """All counters, as plain numbers and lists."""
        cdef Counters* counters = &self.here().shared.counters
        cdef size_t i
        return {
            "native": [counters.commands[i].native.load() for i in range(max_commands)],
            "python": [counters.commands[i].python.load() for i in range(max_commands)],
            "errors": [counters.errors[i].load() for i in range(<size_t>ERROR_KINDS)],
            "native_latency": [
                counters.native_latency.buckets[i].load() for i in range(bucket_count)],
            "python_latency": [
                counters.python_latency.buckets[i].load() for i in range(bucket_count)],
            "bytes_in": counters.bytes_in.load(),
            "bytes_out": counters.bytes_out.load(),
            "pending": counters.pending.load(),
            "pending_bytes": counters.pending_bytes.load(),
            "pending_high_water": counters.pending_high_water.load(),
            "parked_bytes": counters.parked_bytes.load(),
            "stale_gets": counters.stale_gets.load(),
            "refreshes": counters.refreshes.load(),
            "connections": counters.connections.load(),
            "connections_total": counters.connections_total.load(),
        }
