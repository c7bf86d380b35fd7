# NumPy arrays: whose they are, copies of them, and their JSON text. NumPy itself is never imported
# here: whoever hands over an array has done that.

from libc.stdint cimport uint64_t
from libc.string cimport memcmp

from base.clock cimport now_ns
from base.std cimport yield_now

cdef object NUMPY = None  # the module, once somebody has imported it
cdef object NDARRAY = None
cdef object NUMPY_SCALAR = None

# Larger arrays are written in pieces of about this size.
cdef Py_ssize_t PIECE = 64 * 1024  # bytes
# Between pieces other threads get their turn after somewhat more than Python's switch interval: who
# has waited that long has asked for the GIL, and gets it. Let go earlier, it would be taken back
# before they are awake.
cdef double TURNS = 1.4


cdef bint has_numpy() except -1:
    """Whether there may be arrays. An import under way in another thread is waited for."""
    global NUMPY, NDARRAY, NUMPY_SCALAR
    if NUMPY is not None:
        return True
    if "numpy" not in sys.modules:
        return False
    try:
        import numpy
    except ImportError:
        return False
    if not hasattr(numpy, "generic"):  # it is this thread that is importing it
        return False
    NDARRAY, NUMPY_SCALAR = numpy.ndarray, numpy.generic
    NUMPY = numpy
    return True


cdef bint is_masked(value) except -1:
    # Looked for there, since asking NumPy for it would import it.
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return masked is not None and isinstance(value, masked)


cdef bint owns_its_memory(value) except -1:
    """Whether who has no reference to an array cannot reach its memory by another way."""
    if type(value) is not NDARRAY or getweakrefcount(value) > 0:
        return False
    base = value.base
    if base is None:
        return value.flags.owndata
    if type(base) is bytes:
        return not value.flags.writeable
    # Two references: the array's own, and the name above.
    return (type(base) is NDARRAY and Py_REFCNT(<PyObject*>base) == 2 and base.base is None
            and base.flags.owndata)


cdef class Values:
    """An array's values, shared by all places where it stands."""

    cdef object original  # during a walk: what was found, whose id is nobody else's then
    cdef object array     # of no subclass
    cdef bint is_copy     # the original is nobody else's
    cdef object listed    # what orjson can write, once made
    cdef list pieces      # the same of a large array, as text

    def __cinit__(self, original):
        self.original = original
        self.array = original if type(original) is NDARRAY else NUMPY.asarray(original)

    cdef object as_json(self):
        if self.listed is None:
            self.listed = listed_array(self.array)
        return self.listed

    cdef list as_pieces(self):
        if self.pieces is None:
            pieces = []
            write_pieces(self.array, pieces, Turn())
            self.pieces = pieces
        return self.pieces

    cdef void separate(self, Values before) except *:
        """Have values of its own; equal ones of `before` with what was made of them."""
        if self.is_copy:
            return
        array = self.array
        if not array.flags.c_contiguous:
            array = private_array(array)
        if before is not None and are_equal(array, before.array):
            self.array, self.listed, self.pieces = before.array, before.listed, before.pieces
        else:
            self.array = private_array(array) if array is self.array else array


cdef object bytes_of(array):
    """The memory of an array in C order, which must not be empty, as an array of bytes."""
    return array.reshape(-1).view("u1")


cdef object private_array(value):
    """A copy. No other thread runs meanwhile, so what is copied in one go belongs together."""
    cdef Py_buffer source
    cdef unsigned char[::1] target
    if type(value) is not NDARRAY:
        value = NUMPY.asarray(value)
    if value.dtype.kind not in "biufc" or value.nbytes == 0:
        return NUMPY.array(value, order="C", copy=True, subok=False)
    copied = NUMPY.empty(value.shape, value.dtype)
    target = bytes_of(copied)
    # NumPy's own copying lets others in.
    PyObject_GetBuffer(value, &source, PyBUF_STRIDED_RO)
    try:
        PyBuffer_ToContiguous(&target[0], &source, source.len, b"C")
    finally:
        PyBuffer_Release(&source)
    return copied


cdef bint are_equal(one, other) except -1:
    """Whether two arrays in C order hold the same bytes."""
    cdef const unsigned char[::1] first
    cdef const unsigned char[::1] second
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.nbytes == 0:
        return True
    first = bytes_of(one)
    second = bytes_of(other)
    return memcmp(&first[0], &second[0], <size_t>first.shape[0]) == 0


cdef class Masked:
    """The values of a masked array and its mask: lists with None, once they are written."""

    cdef Values values
    cdef Values mask  # None: nothing is masked

    def __cinit__(self, Values values, Values mask):
        self.values = values
        self.mask = mask

    cdef object as_json(self):
        array = self.values.array
        if self.mask is not None:
            array = array.astype(object)
            array[self.mask.array] = None
        lists = array.tolist()
        return lists if is_plain(<PyObject*>lists) else copy_value(
            <PyObject*>lists, INSIDE, Walk(), 1)


cdef object listed_array(value):
    """An array of numbers as one that orjson writes, or as lists where it cannot."""
    dtype = value.dtype
    if value.ndim > 0:
        if dtype.kind == "f" and dtype.itemsize not in (4, 8):
            dtype = NUMPY.dtype("f4" if dtype.itemsize < 4 else "f8")
        elif dtype.kind == "c" and dtype.itemsize not in (8, 16):
            dtype = NUMPY.dtype("c16")
        if not (dtype is value.dtype and dtype.isnative and value.flags.c_contiguous):
            value = NUMPY.ascontiguousarray(value, dtype.newbyteorder("="))
        if dtype.kind == "c":
            value = value.view(f"f{dtype.itemsize // 2}").reshape(*value.shape, 2)
        if dtype.kind not in "fc" or NUMPY.isfinite(value).all():
            return value
    lists = value.tolist()
    if is_plain(<PyObject*>lists):
        return lists
    return copy_value(<PyObject*>lists, INSIDE, Walk(), 1)


cdef void write_pieces(array, list pieces, Turn turn) except *:
    """Append the text of an array, in pieces; other threads run in between."""
    cdef Py_ssize_t rows, step, first
    cdef bint small
    if array.nbytes <= PIECE or array.ndim == 0:
        pieces.append(encode(listed_array(array)))
        turn.give_way()
        return
    rows = len(array)
    step = PIECE // (array.nbytes // rows)
    small = step > 0
    for first in range(0, rows, step if small else 1):
        pieces.append(b"[" if first == 0 else b",")
        if small:
            pieces.append(encode(listed_array(array[first:first + step]))[1:-1])
            turn.give_way()
        else:
            write_pieces(array[first], pieces, turn)
    pieces.append(b"]")


cdef class Turn:
    """How long this thread has had the GIL."""

    cdef uint64_t began
    cdef uint64_t length  # ns

    def __cinit__(self):
        self.length = <uint64_t>(TURNS * 1e9 * sys.getswitchinterval())
        self.began = now_ns()

    cdef void give_way(self) noexcept:
        if now_ns() - self.began < self.length:
            return
        with nogil:
            yield_now()
        self.began = now_ns()
