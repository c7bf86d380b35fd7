# A stream's messages as a client gets and sends them; docs/streams.md has them to the byte.

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from streams.stream_wire cimport (
    StreamControl, StreamHeader, StreamKind, stream_magic, stream_version)

cdef extern from *:
    """
    /* An empty tuple of a subclass, to be filled; what the constructor of tuples does. */
    static PyObject* laplace_empty_tuple(PyTypeObject* kind, Py_ssize_t size) {
        PyObject* const made = kind->tp_alloc(kind, size);
    #if PY_VERSION_HEX >= 0x030E0000
        if (made != NULL) ((PyTupleObject*)made)->ob_hash = -1; /* not known yet */
    #endif
        return made;
    }
    """
    PyObject* laplace_empty_tuple(PyTypeObject* kind, Py_ssize_t size) except NULL

# Kinds of messages: those of the server, then those of the client.
UPDATES = <int>StreamKind.updates
LOOSE = <int>StreamKind.loose
ALIVE = <int>StreamKind.alive
END = <int>StreamKind.end
UNKNOWN = <int>StreamKind.unknown
CREDIT = <int>StreamKind.credit
LEAVE = <int>StreamKind.leave

# Number of an update; a server that tells of more is none of ours.
cdef uint64_t GREATEST = <uint64_t>1 << 63


cdef bint read_header(bytes body, StreamHeader* header) noexcept:
    """False: it is no message of a stream, or it is cut short."""
    cdef size_t size = <size_t>PyBytes_GET_SIZE(body)
    if size < sizeof(StreamHeader):
        return False
    memcpy(header, PyBytes_AS_STRING(body), sizeof(StreamHeader))
    if memcmp(header.magic, stream_magic, sizeof(header.magic)) != 0:
        return False
    if header.version != stream_version:
        return False
    if header.first > GREATEST or header.last > GREATEST:
        return False
    return (size - sizeof(StreamHeader)) / sizeof(double) >= header.count


def stream_header(bytes body not None):
    """(kind, arrays, subscription, updates, epoch, first, last); None: no message of a stream."""
    cdef StreamHeader header
    if not read_header(body, &header):
        return None
    return (
        <int>header.kind, header.arrays, header.subscription, header.count, header.epoch,
        header.first, header.last,
    )


def stream_control(int kind, uint32_t subscription, uint64_t messages, uint64_t allowed_bytes,
                   uint64_t following):
    """What a subscriber sends: CREDIT or LEAVE."""
    cdef StreamControl control
    if kind != CREDIT and kind != LEAVE:
        raise ValueError(f"a subscriber sends no message of kind {kind}")
    memset(&control, 0, sizeof(control))
    memcpy(control.magic, stream_magic, sizeof(control.magic))
    control.version = stream_version
    control.kind = <StreamKind>kind
    control.subscription = subscription
    control.messages = messages
    control.bytes = allowed_bytes
    control.next = following
    return PyBytes_FromStringAndSize(<const char*>&control, sizeof(control))


def stream_text(bytes body not None, uint32_t updates):
    """The JSON array of a message's updates; `stream_header` has found the message whole."""
    return body[sizeof(StreamHeader) + updates * sizeof(double):]


@cython.final
@cython.auto_pickle(False)
cdef class Updates:
    """The updates of a message, each made when it is taken; len() tells how many are left."""

    cdef type kind
    cdef bytes times
    cdef list datas
    cdef Py_ssize_t at, end
    cdef uint64_t first, lost
    cdef object epoch

    def __init__(
        self, type kind not None, bytes body not None, list datas not None, uint64_t first,
        epoch, uint64_t lost, Py_ssize_t known
    ):
        cdef size_t size = len(datas) * sizeof(double)
        if not issubclass(kind, tuple):
            raise TypeError(f"{kind!r} is no tuple")
        if datas and <size_t>len(body) < sizeof(StreamHeader) + size:
            raise ValueError(f"{len(body)} bytes are too few for {len(datas)} updates")
        if not 0 <= known <= len(datas):
            raise ValueError(f"{known} updates of {len(datas)} are known")
        self.kind = kind
        self.times = body[sizeof(StreamHeader):sizeof(StreamHeader) + size]
        self.datas = datas
        self.first = first
        self.epoch = epoch
        self.lost = lost
        self.at = known
        self.end = len(datas)

    def __iter__(self):
        return self

    def __len__(self):
        return self.end - self.at

    def __next__(self):
        cdef Py_ssize_t at = self.at
        cdef uint64_t lost = self.lost
        cdef double timestamp
        cdef PyObject* made
        if at >= self.end or at >= PyList_GET_SIZE(self.datas):
            raise StopIteration
        # Taken before anything is made: that may run a program's code, which may drop the rest.
        data = self.datas[at]
        self.datas[at] = None  # whoever takes it decides how long it lives
        self.at = at + 1
        self.lost = 0
        memcpy(
            &timestamp,
            PyBytes_AS_STRING(self.times) + <size_t>at * sizeof(double),
            sizeof(timestamp),
        )
        number = self.first + <uint64_t>at
        time = timestamp
        lost_before = lost
        made = laplace_empty_tuple(<PyTypeObject*>self.kind, 5)
        update = <object>made
        Py_DECREF(update)  # the one that it came with
        fill(update, 0, number)
        fill(update, 1, self.epoch)
        fill(update, 2, time)
        fill(update, 3, data)
        fill(update, 4, lost_before)
        return update

    def put_back(self, update):
        """Take back the last one, which nobody has got."""
        if self.at == 0 or self.at > PyList_GET_SIZE(self.datas):
            return  # dropped meanwhile
        self.datas[self.at - 1] = update[3]
        self.lost = update[4]
        self.at -= 1

    def drop(self):
        """Come to the end."""
        self.at = self.end = 0
        self.times = b""
        self.datas = []


cdef void fill(made, Py_ssize_t place, item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(made, place, item)
