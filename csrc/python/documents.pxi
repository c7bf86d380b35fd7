# What clients may read: the data, and the payload of INFO.

import json

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from libcpp.utility cimport move

from base.clock cimport wall_clock_s
from documents.documents cimport (
    Content, DocumentId as NativeDocumentId, Refresh, RefresherTask, Taken, Text)
from server.document_writer cimport DocumentWriter
from transport.borrowed cimport any_returned

# At the door of set_data the facade's local variable and the call's argument refer to the
# data. Two references are these, so nobody else has one; more may be anybody's. (A method
# with one positional-only argument adds none of its own.) Before 3.11 callers keep theirs
# during the call, after 3.13 calls borrow: there a count at the door says nothing.
cdef Py_ssize_t AT_THE_DOOR = 2 if (3, 11) <= sys.version_info < (3, 14) else -1

# The text of arrays of this many bytes and more is made when it is asked for.
cdef Py_ssize_t LARGE_ARRAYS = 64 * 1024

# What wait_refresh() returns when there is a job for next_builtin().
JOBS = "jobs"

# Of data that cannot be sent, told once each.
cdef Py_ssize_t MOST_REASONS = 100


cdef class Document:
    """The Python side of one document: the objects behind its text."""

    cdef object source         # the dict handed over, or the server's own copy of it
    cdef uint64_t generation   # of the two
    cdef object private        # of what cannot change, where it has arrays: what texts are made of
    cdef bint shared           # the arrays of `private` are those of `source`
    cdef dict written          # Values of the arrays of the last refresh, by id of who had them
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


@cython.final
cdef class Documents:
    """The two documents of a server; see `_core.pyi` for the methods."""

    cdef ServerRef server
    cdef Streams streams
    cdef Document data
    cdef Document info
    cdef public object on_unfit
    cdef public object on_refused
    cdef set refused  # why data was refused, as told since there was better

    def __cinit__(self, ServerRef server not None, Streams streams not None):
        self.server = server
        self.streams = streams
        self.data = Document()
        self.info = Document()
        self.refused = set()

    cdef DocumentWriter* native(self) except NULL:
        return &self.server.here().documents()

    cdef Document document(self, NativeDocumentId which):
        return self.data if which == NativeDocumentId.data else self.info

    # ---- replaced

    cdef void put(self, Document document, NativeDocumentId which, source, Text& text,
                  bint is_error, bint live, private=None, Walk walk=None) except *:
        """Replace a document. Without a text, it is made at the first read."""
        # Between these lines no Python runs: the objects and their text change as one.
        cdef Moment moment = Moment()
        cdef DocumentWriter* native = self.native()
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
        document.generation = native.replace(which, move(text), is_error, live)
        if live and not unmade:
            native.ask_refresh(which)

    def set_data(self, source, /):
        """Replace the data. TypeError where it is no dict; what cannot be written is told."""
        self.store(source, Py_REFCNT(<PyObject*>source) <= AT_THE_DOOR)

    def set_data_copy(self, source, /):
        """Keep a copy of the data. TypeError where it cannot be written; the old data stays."""
        cdef Kept kept = Kept()
        cdef Walk walk = Walk()
        self.server.here()
        check_dict(source)
        own = own_copy(source, kept)
        private = copy_document(own, True, walk) if kept.converts else own
        self.store_private(own, private, walk, True)

    cdef void store(self, source, bint exclusive) except *:
        cdef Walk walk = Walk()
        self.server.here()
        check_dict(source)
        try:
            private = copy_document(source, exclusive, walk)
            self.store_private(source, private, walk, walk.owned)
        except TypeError as problem:
            walk.moment = None
            self.store_refused(source, str(problem))

    cdef void store_private(self, source, private, Walk walk, bint frozen) except *:
        """Store data with a copy that is nobody else's; `frozen`: `source` cannot change either."""
        cdef DocumentWriter* native = self.native()
        cdef StreamRef stream = self.streams.of_data
        cdef Unpublished update
        cdef Text text
        # What is given away once must have a text to be taken.
        cdef bint later = walk.array_bytes >= LARGE_ARRAYS and not native.take_after_get()
        if any_returned():
            let_go()
        if not frozen and later and stream is None:
            walk.arrays = {}  # they are copied at the refresh
        elif not frozen:
            walk.separate_arrays()
        walk.moment = None
        if not later:
            text = text_of(private)
        if stream is not None:  # before anything changes: it may be too large
            update = Unpublished()
            try:
                encode_update(update, private, walk.loose, False, native.bell())
                whole = update.whole()
            except ValueError as problem:  # no reason not to set the data
                stream = None
                if self.on_unfit is not None:
                    self.on_unfit("data", str(problem))
        walk.let_go()
        self.put(self.data, NativeDocumentId.data, source, text, False, not frozen, private, walk)
        self.refused.clear()
        if stream is not None:
            self.streams.append(stream, whole, update.loose, wall_clock_s(), update.arrays, 0)

    cdef void store_refused(self, source, str problem) except *:
        """Data that cannot be written: readers get an error, until it can, or other data comes."""
        cdef Text text = self.refusal(NativeDocumentId.data, problem)
        self.put(self.data, NativeDocumentId.data, source, text, True, True)

    cdef Text refusal(self, NativeDocumentId which, str problem) except *:
        """An error's text for readers; told once for each reason until there is better data."""
        if which == NativeDocumentId.data and problem not in self.refused:
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
        self.put(self.info, NativeDocumentId.info, source, text_of(private), False, True)

    # ---- read

    def read_info(self):
        """The dict itself; it may be changed from now on."""
        cdef DocumentWriter* native = self.native()
        self.info.reads += 1
        native.mark_live(NativeDocumentId.info, self.info.generation)
        return self.info.source

    def read_data(self):
        """A new dict; what is in it may be changed from now on."""
        cdef Document document = self.data
        cdef DocumentWriter* native = self.native()
        cdef Moment moment
        if native.generation(NativeDocumentId.data) != document.generation:
            return {}  # taken by a GET
        source = document.source
        if not PyDict_CheckExact(source) or not is_flat(<dict>source):
            if document.shared:  # what is being written and sent stays out of reach
                document.shared = False
                moment = Moment()
                exchange_arrays(source)
            document.reads += 1
            document.private = None
            native.mark_live(NativeDocumentId.data, document.generation)
        return dict(source)

    def data_error(self):
        """Why the data cannot be written, where readers are told so; None: it can."""
        cdef Text text = self.native().error(NativeDocumentId.data)
        return json.loads(text.get()[0]) if text.get() != NULL else None

    cdef void take_data(self, Unpublished update, Taken& taken) except *:
        """The data as it is now, and taken where each value is given away once."""
        cdef DocumentWriter* native = self.native()
        cdef Document document = self.data
        cdef Walk walk
        cdef Content content
        cdef bint take = native.take_after_get()
        cdef bint live
        if any_returned():
            let_go()
        if take:
            self.make_text(NativeDocumentId.data)  # what has no text yet cannot be taken
        walk = Walk()
        # From here to the end of the next lines no Python runs: no other data comes. It may be
        # taken by the loop meanwhile, and put back.
        live = native.is_live(NativeDocumentId.data)
        native.read_data(take, content, taken)
        cdef bint is_this = document.generation == (
            content.generation if take else native.generation(NativeDocumentId.data))
        source, private = document.source, document.private
        try:
            if is_this and private is None and live:
                private = copy_document(source, False, walk)
                walk.separate_arrays()
            if is_this and private is not None:
                encode_update(update, private, False, False, native.bell())
            elif content.is_error:
                raise TypeError(json.loads(content.text.get()[0]))
            else:  # frozen, or taken by somebody: the text says it all
                update.text = content.text.get()[0]
        except BaseException:
            native.put_back_data(taken)
            if is_this:
                self.make_text(NativeDocumentId.data)  # what is wrong with it now
            raise
        if is_this and content.is_error:
            self.make_text(NativeDocumentId.data)  # and it has been mended

    # ---- refreshed

    def refresh(self, int which):
        """Make a document's text, where it may have changed or has none yet.

        It is frozen if nobody can change it any more.
        """
        self.make_text(<NativeDocumentId>which)

    cdef void make_text(self, NativeDocumentId which) except *:
        cdef Document document = self.document(which)
        cdef DocumentWriter* native = self.native()
        if any_returned():
            let_go()
        if not (native.is_live(which) or native.is_unmade(which)):
            return
        cdef Refresh begun = native.begin_refresh(which)
        if document.generation != begun.generation:
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
            walk.moment = None
            error = live = True
            text = self.refusal(which, shown(problem, str) or type(problem).__name__)
        live = live or document.reads != reads
        native.finish_refresh(which, begun, text, error, live)
        if not live and document.generation == begun.generation:
            document.let_go_of_texts()
        if which == NativeDocumentId.data and not error:
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

    cdef void make_missing_text(self) except *:
        """Of the data, where it has none yet."""
        if self.native().is_unmade(NativeDocumentId.data):
            self.make_text(NativeDocumentId.data)

    def settle(self):
        """After a callback: the next read of live data shows what that did."""
        cdef DocumentWriter* native = self.native()
        cdef Document document = self.data
        cdef uint64_t generation
        if not native.is_live(NativeDocumentId.data):
            return
        if not document.large or native.take_after_get():
            self.make_text(NativeDocumentId.data)
            return
        generation = native.touch(NativeDocumentId.data, document.generation)
        if generation != 0:
            document.generation = generation

    def wait_refresh(self):
        """Block until a document wants a refresh: its number; or JOBS, or None at the end."""
        cdef DocumentWriter* native = self.native()
        cdef RefresherTask task = RefresherTask.release
        while task == RefresherTask.release:
            with nogil:
                task = native.wait_refresh()
            let_go()
        if task == RefresherTask.end:
            return None
        if task == RefresherTask.jobs:
            return JOBS
        return <int>(NativeDocumentId.data if task == RefresherTask.data else NativeDocumentId.info)


cdef void check_dict(source) except *:
    if not isinstance(source, dict):
        raise TypeError(f"data must be a dict, not {type(source).__name__}")
