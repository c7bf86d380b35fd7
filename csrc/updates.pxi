# From what a program publishes to an update: JSON text, and arrays beside it.

cdef class StreamRef:
    """A stream of the core."""

    cdef shared_ptr[Stream] stream


cdef bint is_flat(dict data) except -1:
    """Whether orjson may write the dict itself: it then runs no Python, so nobody interferes."""
    cdef Py_ssize_t position = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    while PyDict_Next(data, &position, &key, &item):
        if not PyUnicode_CheckExact(<object>key) or not is_utf8(<object>key) or not is_plain(item):
            return False
    return True


cdef uint64_t append_update(StreamRef found, data, double time) except? 0:
    cdef Walk walk
    cdef bytes text
    cdef vector[Message] arrays
    if not isinstance(data, dict):
        raise TypeError(f"data must be a dict, not {type(data).__name__}")
    if PyDict_CheckExact(data) and is_flat(<dict>data):
        text = dumps(data, None, OPTIONS)
    else:
        walk = Walk()
        walk.apart = []
        text = encode(copy_document(data, False, walk))
        if walk.apart:
            text = text + b"," + dumps([described for described, _ in walk.apart])
            copy_arrays(walk.apart, arrays)
    if <size_t>PyBytes_GET_SIZE(text) > largest_text:
        raise ValueError(f"an update of {len(text)} bytes is too large")
    return found.stream.get().append(
        string_view(PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text)), time, move(arrays))


@cython.boundscheck(False)
cdef void copy_arrays(list apart, vector[Message]& arrays) except *:
    cdef const unsigned char[::1] content
    cdef size_t size
    cdef char* target
    arrays.resize(<size_t>len(apart))
    for number, (_, array) in enumerate(apart):
        size = array.nbytes
        if not arrays[number].allocate(size):
            raise MemoryError()
        if size > 0:
            content = array.reshape(-1).view("u1")
            target = arrays[number].data()
            with nogil:
                memcpy(target, &content[0], size)
