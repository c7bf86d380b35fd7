# A stream's messages as a client gets them; docs/streams.md has them to the byte. In C since a
# client does this at every message, most often after a sleep, when Python's own code is cold.

from cpython.tuple cimport PyTuple_SET_ITEM

cdef extern from "Python.h":
    ctypedef struct TupleType "PyTypeObject":
        PyObject* (*tp_alloc)(TupleType*, Py_ssize_t) noexcept

# Number of an update; a server that tells of more is none of ours.
cdef uint64_t GREATEST = <uint64_t>1 << 63


def stream_header(bytes body not None):
    """(kind, arrays, subscription, updates, epoch, first, last); None: no message of a stream."""
    cdef StreamHeader header
    cdef size_t size = <size_t>PyBytes_GET_SIZE(body)
    if size < sizeof(header):
        return None
    memcpy(&header, PyBytes_AS_STRING(body), sizeof(header))
    if memcmp(header.magic, stream_magic, sizeof(header.magic)) != 0:
        return None
    if header.version != stream_version:
        return None
    if header.first > GREATEST or header.last > GREATEST:
        return None
    if (size - sizeof(header)) / sizeof(double) < header.count:
        return None
    return (
        header.kind, header.arrays, header.subscription, header.count, header.epoch,
        header.first, header.last,
    )


def stream_text(bytes body not None, uint32_t updates):
    """The JSON array of a message's updates; `stream_header` has found the message whole."""
    return body[sizeof(StreamHeader) + updates * sizeof(double):]


@cython.final
cdef class Updates:
    """The updates of a message, each made when it is taken; len() tells how many are left."""

    cdef TupleType* kind
    cdef object keeps_kind
    cdef bytes body
    cdef list datas
    cdef Py_ssize_t at
    cdef uint64_t first, lost
    cdef object epoch

    def __init__(
        self, type kind not None, bytes body not None, list datas not None, uint64_t first,
        epoch, uint64_t lost, Py_ssize_t known
    ):
        if not issubclass(kind, tuple) or kind.__basicsize__ != tuple.__basicsize__:
            raise TypeError(f"{kind!r} is no plain tuple")
        if datas and <size_t>len(body) < sizeof(StreamHeader) + <size_t>len(datas) * sizeof(double):
            raise ValueError(f"{len(body)} bytes are too few for {len(datas)} updates")
        if not 0 <= known <= len(datas):
            raise ValueError(f"{known} updates of {len(datas)} are known")
        self.kind = <TupleType*><PyObject*>kind
        self.keeps_kind = kind
        self.body = body
        self.datas = datas
        self.first = first
        self.epoch = epoch
        self.lost = lost
        self.at = known

    def __iter__(self):
        return self

    def __len__(self):
        return len(self.datas) - self.at

    def __next__(self):
        cdef size_t at = <size_t>self.at
        cdef double timestamp
        cdef PyObject* made
        if self.at >= len(self.datas):
            raise StopIteration
        memcpy(
            &timestamp,
            PyBytes_AS_STRING(self.body) + sizeof(StreamHeader) + at * sizeof(double),
            sizeof(timestamp),
        )
        made = self.kind.tp_alloc(self.kind, 5)
        if made == NULL:
            raise MemoryError()
        update = <object>made
        Py_DECREF(update)  # the one that tp_alloc gave
        fill(update, 0, self.first + at)
        fill(update, 1, self.epoch)
        fill(update, 2, timestamp)
        fill(update, 3, self.datas[self.at])
        fill(update, 4, self.lost)
        self.datas[self.at] = None  # whoever takes it decides how long it lives
        self.at += 1
        self.lost = 0
        return update

    def drop(self):
        """Come to the end."""
        self.datas = []
        self.at = 0


cdef void fill(made, Py_ssize_t place, item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(made, place, item)
