# From what a program publishes to an update: JSON text, and arrays beside it.

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memcpy
from libcpp.memory cimport shared_ptr
from libcpp.vector cimport vector

from base.bell cimport Bell
from streams.stream cimport largest_text
from transport.borrowed cimport BorrowedBuffer, borrow_buffer, free_buffer, take_returned
from transport.message cimport Message

# Given away, arrays of fewer bytes are copied all the same: that is cheaper.
cdef size_t WORTH_LENDING = 16 * 1024
# 16 bits count them on the wire.
cdef Py_ssize_t MOST_ARRAYS = 0xFFFF
# Beside a computing thread the GIL comes back after 5 ms; to copy this much takes a tenth of one.
cdef size_t WORTH_LETTING_GO = 1 << 20


cdef class Unpublished:
    """An update before it has a number."""

    cdef bytes text
    cdef bytes described  # where its arrays stand, as JSON; None without any
    cdef bint loose
    cdef vector[Message] arrays

    cdef bytes whole(self):
        """What stands in a stream."""
        if self.described is None:
            return checked_size(self.text)
        return checked_size(self.text + b"," + self.described)


cdef bint is_flat(dict data) except -1:
    """Whether orjson may write the dict itself: it then runs no Python, so nobody interferes."""
    cdef Py_ssize_t position = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    while PyDict_Next(data, &position, &key, &item):
        if not PyUnicode_CheckExact(<object>key) or not is_utf8(<object>key) or not is_plain(item):
            return False
    return True


cdef void make_update(Unpublished update, data, bint copy,
                      const shared_ptr[Bell]& bell) except *:
    """Of what a program publishes; without `copy` it gives its arrays away."""
    cdef Walk walk = Walk()
    if not isinstance(data, dict):
        raise TypeError(f"data must be a dict, not {type(data).__name__}")
    private = copy_document(data, False, walk)
    walk.moment = None
    encode_update(update, private, walk.loose, copy, bell)


cdef void encode_update(Unpublished update, private, bint loose, bint copy,
                        const shared_ptr[Bell]& bell) except *:
    cdef ArraysBeside beside = ArraysBeside()
    update.loose = loose
    update.text = encode(private, beside)
    if beside.arrays:
        update.described = described_text(beside.described)
        take_arrays(beside.arrays, copy, update.arrays, bell)


cdef bytes checked_size(bytes text):
    if <size_t>PyBytes_GET_SIZE(text) > largest_text:
        raise ValueError(f"an update of {len(text)} bytes is too large")
    return text


cdef bytes described_text(list described):
    try:
        return dumps(described)
    except orjson.JSONEncodeError:  # a key that is not UTF-8
        return json.dumps(described).encode()


cdef void take_arrays(list taken, bint copy, vector[Message]& arrays,
                      const shared_ptr[Bell]& bell) except *:
    """Copy the arrays, or borrow them: what is given away, and copies made for their order."""
    if len(taken) > MOST_ARRAYS:
        raise ValueError(f"an update of {len(taken)} arrays has too many; {MOST_ARRAYS} go")
    arrays.resize(<size_t>len(taken))
    for number, array in enumerate(taken):
        contiguous = array if array.flags.c_contiguous else NUMPY.ascontiguousarray(array)
        own = contiguous is not array or (not copy and is_most_of_its_memory(array))
        take_array(contiguous, own, arrays[<size_t>number], bell)


cdef bint is_most_of_its_memory(array) except -1:
    """A small part of a large array would keep all of it, and the history counts the part."""
    root = array
    while isinstance(root.base, NDARRAY):
        root = root.base
    return root.nbytes <= 2 * array.nbytes


@cython.boundscheck(False)
cdef void take_array(array, bint own, Message& message,
                     const shared_ptr[Bell]& bell) except *:
    cdef const unsigned char[::1] content
    cdef size_t size
    cdef char* target
    if array.nbytes == 0:
        if not message.allocate(0):
            raise MemoryError()
        return
    flat = array.reshape(-1).view("u1")
    content = flat
    size = <size_t>content.shape[0]
    if own and size >= WORTH_LENDING:
        if not borrow_buffer(message, <void*>flat, <void*>&content[0], size, bell):
            raise MemoryError()
        Py_INCREF(flat)
        return
    if not message.allocate(size):
        raise MemoryError()
    target = message.data()
    if size < WORTH_LETTING_GO:
        memcpy(target, &content[0], size)
        return
    with nogil:
        memcpy(target, &content[0], size)


cdef void let_go() noexcept:
    """Drop the arrays that no message shows any more."""
    cdef BorrowedBuffer* buffer = take_returned()
    cdef BorrowedBuffer* next
    while buffer != NULL:
        next = buffer.next
        Py_DECREF(<object>buffer.object)
        free_buffer(buffer)
        buffer = next
