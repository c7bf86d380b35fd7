# Messages as they are sent, and what has not left.

cimport cython
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE)
from cpython.list cimport PyList_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from base.std cimport string_view
from client.incoming cimport encode_header, header_size
from client.unsent cimport Unsent, UnsentKind

# A frame from this size on is sent from where it is.
cdef Py_ssize_t SHARED = 16 * 1024
cdef size_t LARGEST_MESSAGE = <size_t>1 << (8 * sizeof(size_t) - 2)


cdef tuple frames_of(frames):
    """As a tuple of bytes, which nobody changes any more; TypeError, ValueError."""
    cdef tuple taken = tuple(frames)
    cdef bint plain = True
    if not taken:
        raise ValueError("a message has one frame at least")
    for frame in taken:
        if not PyBytes_CheckExact(frame):
            if not isinstance(frame, bytes):
                raise TypeError(f"a frame must be bytes, not {type(frame).__name__}")
            plain = False
    # The end of an object of a derived class might run code of the program's.
    return taken if plain else tuple([bytes(memoryview(frame)) for frame in taken])


cdef size_t encoded_size(tuple frames) except 0:
    cdef size_t size, total = 0
    for frame in frames:
        size = <size_t>PyBytes_GET_SIZE(frame)
        size += header_size(size)
        if size > LARGEST_MESSAGE - total:
            raise OverflowError("a message is too large")
        total += size
    return total


cdef char* encode(tuple frames, Py_ssize_t begin, Py_ssize_t end, char* out) noexcept:
    """Write some frames of a message; return what is behind them."""
    cdef Py_ssize_t place, last = PyTuple_GET_SIZE(frames) - 1
    for place in range(begin, end):
        frame = <bytes>frames[place]
        out = encode_header(place != last, <uint64_t>PyBytes_GET_SIZE(frame), out)
        memcpy(out, PyBytes_AS_STRING(frame), <size_t>PyBytes_GET_SIZE(frame))
        out += PyBytes_GET_SIZE(frame)
    return out


cdef bytes encoded(tuple frames):
    cdef bytes message = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>encoded_size(frames))
    encode(frames, 0, PyTuple_GET_SIZE(frames), PyBytes_AS_STRING(message))
    return message


cdef list pieces_of(tuple frames):
    """A message in pieces: large frames as they are, all else in new ones."""
    cdef list pieces = []
    cdef Py_ssize_t place, begin = 0, size = 0
    cdef bint is_large
    encoded_size(frames)
    for place in range(PyTuple_GET_SIZE(frames)):
        frame = <bytes>frames[place]
        is_large = PyBytes_GET_SIZE(frame) >= SHARED
        size += <Py_ssize_t>header_size(<size_t>PyBytes_GET_SIZE(frame))
        if is_large:
            pieces.append(gathered(frames, begin, place, size, True))
            pieces.append(frame)
            begin, size = place + 1, 0
        else:
            size += PyBytes_GET_SIZE(frame)
    if size > 0:
        pieces.append(gathered(frames, begin, PyTuple_GET_SIZE(frames), size, False))
    return pieces


cdef bytes gathered(
    tuple frames, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t size, bint header_too
):
    """Frames in one piece of that size, with or without the header of the frame behind them."""
    cdef bytes piece = PyBytes_FromStringAndSize(NULL, size)
    cdef char* out = encode(frames, begin, end, PyBytes_AS_STRING(piece))
    if header_too:
        frame = <bytes>frames[end]
        encode_header(end != PyTuple_GET_SIZE(frames) - 1, <uint64_t>PyBytes_GET_SIZE(frame), out)
    return piece


cdef void let_go_of_piece(void* owner) noexcept:
    Py_DECREF(<object>owner)


@cython.final
@cython.auto_pickle(False)
cdef class Outbox:
    """Pieces that have not left; each is a bytes object, which nobody changes."""

    cdef Unsent unsent

    def __cinit__(self):
        self.unsent.set_let_go(let_go_of_piece)

    cdef int put(self, bytes piece, UnsentKind kind) except -1:
        self.unsent.reserve(1)
        self.add(piece, kind)
        return 0

    cdef int put_all(self, list pieces, UnsentKind kind) except -1:
        self.unsent.reserve(<size_t>PyList_GET_SIZE(pieces))
        for piece in pieces:
            self.add(<bytes>piece, kind)
        return 0

    cdef void add(self, bytes piece, UnsentKind kind) noexcept:
        Py_INCREF(piece)
        self.unsent.add(
            <void*>piece,
            string_view(PyBytes_AS_STRING(piece), <size_t>PyBytes_GET_SIZE(piece)),
            kind,
        )
