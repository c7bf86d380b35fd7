# What two ends of a connection say, without the connection.

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint64_t

from libcpp.memory cimport unique_ptr

from base.std cimport string_view
from client.curve_link cimport CurveLink
from client.incoming cimport (
    Incoming, IncomingEvent, IncomingRoom, PeerFault, SocketType, encode_ready, greeting,
    greeting_size, max_ready)

REQ = <int>SocketType.req
DEALER = <int>SocketType.dealer

# What is received at once: little, until that was once full.
cdef Py_ssize_t SMALL_BUFFER = 4 * 1024
cdef Py_ssize_t LARGE_BUFFER = 64 * 1024

# Of a peer that asks and does not read, no more answers are kept.
cdef Py_ssize_t MOST_ANSWERS = 4 * 1024

cdef bytes opening_of(SocketType own):
    """The greeting and READY."""
    cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>max_ready)
    cdef char* begin = PyBytes_AS_STRING(room)
    cdef char* end = encode_ready(own, string_view(), begin)
    return as_bytes(greeting()) + room[:end - begin]


cdef bytes as_bytes(string_view text):
    return PyBytes_FromStringAndSize(text.data(), <Py_ssize_t>text.size())


@cython.final
@cython.auto_pickle(False)
cdef class Room:
    """Memory of a bytes object that nobody has seen yet, to receive into."""

    cdef bytes memory
    cdef char* begin
    cdef size_t size

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.begin, <Py_ssize_t>self.size, 0, flags)


@cython.auto_pickle(False)
cdef class Conversation:
    """The client's end of one; see `_frames.pyi` for the methods."""

    cdef SocketType own
    cdef unique_ptr[CurveLink] link  # where it has keys
    cdef Incoming incoming
    cdef bytes buffer  # what comes is received into it, unless it is a large frame's
    cdef bytes frame  # that has not come whole
    cdef list frames  # of the message that is coming, or None
    cdef list messages  # whole ones
    cdef Py_ssize_t taken  # of these
    cdef bytes answers
    cdef bint is_ready, is_over, has_news
    cdef public object on_change

    def __cinit__(self, *arguments, **named):
        self.messages = []
        self.answers = b""

    def __init__(self, int socket_type, ClientKeys keys=None):
        if socket_type != REQ and socket_type != DEALER:
            raise ValueError(f"there is no such type of a client's socket: {socket_type}")
        self.own = <SocketType>socket_type
        self.link.reset()
        if keys is not None:
            self.link.reset(new CurveLink(keys.native, self.own))
        self.incoming = Incoming(self.own, self.link.get())

    def opening(self):
        if not self.has_keys():
            return opening_of(self.own)
        begin = as_bytes(self.link.get().begin())
        if not begin:
            raise RuntimeError("it has begun already, or libsodium could not begin a handshake")
        return begin

    def get_buffer(self, Py_ssize_t sizehint=-1):
        cdef Room room = Room.__new__(Room)
        room.begin = self.room(&room.size)
        room.memory = self.frame if self.is_direct() else self.buffer
        return PyMemoryView_FromObject(room)

    def buffer_updated(self, Py_ssize_t nbytes):
        cdef size_t size = 0
        self.room(&size)
        if nbytes < 0 or <size_t>nbytes > size:
            raise ValueError(f"there is no room for {nbytes} bytes")
        self.received(<size_t>nbytes)
        if self.has_news:
            self.has_news = False
            if self.on_change is not None:
                self.on_change()

    def take(self):
        return self.next_message()

    def to_send(self):
        return self.take_answers()

    def sealed(self, bytes message not None):
        if not self.has_keys():
            return message
        if not self.is_ready:
            raise RuntimeError("there are no keys to seal with before the handshake is over")
        return sealed_run(self.link.get(), message) or b""

    @property
    def ready(self):
        return self.is_ready

    @property
    def fault(self):
        return self.fault_text()

    @property
    def closed_early(self):
        return self.text_of_early_end()

    @staticmethod
    def encoded(frames):
        return encoded(frames_of(frames))

    # ---- for a Connection, too

    @cython.final
    cdef bint has_keys(self) noexcept:
        return self.link.get() is not NULL

    @cython.final
    cdef bint is_direct(self) noexcept:
        """Whether what comes next goes straight into the frame that it belongs to."""
        return self.incoming.room().size != 0

    @cython.final
    cdef char* room(self, size_t* size) except NULL:
        """Where the next bytes are to be received to."""
        cdef IncomingRoom room = self.incoming.room()
        if room.size == 0:
            if self.buffer is None:
                self.buffer = PyBytes_FromStringAndSize(NULL, SMALL_BUFFER)
            room.begin = PyBytes_AS_STRING(self.buffer)
            room.size = <size_t>PyBytes_GET_SIZE(self.buffer)
        size[0] = room.size
        return room.begin

    @cython.final
    cdef int received(self, size_t size) except -1:
        """So many bytes have come to where room() said."""
        cdef bytes buffer = self.buffer  # it stays, whatever happens meanwhile
        cdef char* at = NULL
        cdef char* end = NULL
        cdef bint is_full = False
        cdef bint is_slow = False  # what is to be opened is large
        cdef size_t awaited = self.incoming.room().size
        if awaited != 0:
            self.incoming.received(size)
            if self.has_keys() and size == awaited:
                is_slow = <size_t>PyBytes_GET_SIZE(self.frame) > QUICK_TO_SEAL
        elif size > 0:
            at = PyBytes_AS_STRING(buffer)
            end = at + size
            is_full = <Py_ssize_t>size == PyBytes_GET_SIZE(buffer)
        try:
            self.hear(at, end, is_slow)
            if is_full and <Py_ssize_t>size < LARGE_BUFFER:
                self.enlarge_buffer()
        except (MemoryError, OverflowError):
            self.incoming.give_up()
            self.end()
        return 0

    @cython.final
    cdef bint is_empty(self) noexcept:
        """Whether there is no message to take."""
        return PyList_GET_SIZE(self.messages) == 0

    @cython.final
    cdef list next_message(self):
        cdef Py_ssize_t count = PyList_GET_SIZE(self.messages)
        if count == 0:
            return None
        message = <list>self.messages[self.taken]
        self.taken += 1
        if self.taken == count:
            self.drop_messages()
        else:
            self.messages[self.taken - 1] = None
        return message

    @cython.final
    cdef int drop_messages(self) except -1:
        self.messages = []
        self.taken = 0
        return 0

    @cython.final
    cdef bytes take_answers(self):
        answers, self.answers = self.answers, b""
        if answers and self.is_ready and self.has_keys():
            return b"" if self.is_over else sealed_run(self.link.get(), answers) or b""
        return answers

    @cython.final
    cdef str fault_text(self):
        cdef PeerFault fault = self.incoming.fault()
        if fault == PeerFault.none:
            return ""
        if fault != PeerFault.refused_by_peer:
            return text_of_fault(fault, self.has_keys())
        return text_of_refusal(as_bytes(self.incoming.reason()), self.has_keys())

    @cython.final
    cdef str text_of_early_end(self):
        """Why it has ended where the peer did so in the handshake, and said nothing."""
        if not self.has_keys():
            return CLOSED_EARLY
        return CLOSED_AT_HELLO if self.link.get().is_greeted() else CLOSED_UNGREETED

    # ---- what comes

    @cython.final
    cdef int hear(self, char* at, char* end, bint is_slow) except -1:
        cdef IncomingEvent event
        while True:
            if is_slow:
                is_slow = False
                with nogil:
                    event = self.incoming.next(at, end)
            else:
                event = self.incoming.next(at, end)
            if event == IncomingEvent.need_more:
                return 0
            if event == IncomingEvent.frame:
                self.add(as_bytes(self.incoming.whole()))
            elif event == IncomingEvent.begin:
                self.frame = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>self.incoming.size())
                self.incoming.put_into(PyBytes_AS_STRING(self.frame))
            elif event == IncomingEvent.end:
                frame, self.frame = self.frame, None
                self.add(frame)
            elif event == IncomingEvent.answer:
                self.add_answer()
            elif event == IncomingEvent.ready:
                self.is_ready = self.has_news = True
            else:
                self.end()
                return 0

    @cython.final
    cdef int add(self, bytes frame) except -1:
        """A frame has come."""
        if self.frames is None:
            self.frames = []
        self.frames.append(frame)
        if not self.incoming.more():
            self.messages.append(self.frames)
            self.frames = None
            self.has_news = True
        return 0

    @cython.final
    cdef int add_answer(self) except -1:
        cdef string_view answer = self.incoming.to_send()
        if answer.size() > 0 and PyBytes_GET_SIZE(self.answers) < MOST_ANSWERS:
            self.answers += as_bytes(answer)
            self.has_news = True
        return 0

    @cython.final
    cdef int end(self) except -1:
        """It is over, by a fault; what was not whole is no more."""
        if self.is_over:
            return 0
        self.is_over = self.has_news = True
        self.frame = self.frames = None
        return self.add_answer()

    @cython.final
    cdef int enlarge_buffer(self) except -1:
        """More may be there than there was room for; much more goes straight into its frame."""
        if self.incoming.room().size < <size_t>LARGE_BUFFER:
            self.buffer = PyBytes_FromStringAndSize(NULL, LARGE_BUFFER)
        return 0
