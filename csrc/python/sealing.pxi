# What is sealed, with keys, once the handshake is over. It is sent in this order, or nothing more.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_SIZE

from base.std cimport string_view
from client.curve_link cimport CurveLink, FrameKind, sealed_size

# What is larger is sealed, and opened, without the GIL.
cdef size_t QUICK_TO_SEAL = 64 * 1024


cdef string_view view_of(bytes text) noexcept:
    return string_view(PyBytes_AS_STRING(text), <size_t>PyBytes_GET_SIZE(text))


cdef size_t size_when_sealed(tuple frames) noexcept:
    cdef size_t size = 0
    for frame in frames:
        size += sealed_size(<size_t>PyBytes_GET_SIZE(<bytes>frame))
    return size


cdef bint seal_message(CurveLink* link, tuple frames, char* out):
    """To where there is room; False: the connection is over."""
    cdef Py_ssize_t place, last = PyTuple_GET_SIZE(frames) - 1
    cdef string_view body
    cdef FrameKind kind
    cdef bint good
    for place in range(last + 1):
        body = view_of(<bytes>frames[place])
        kind = FrameKind.last if place == last else FrameKind.more
        if body.size() > QUICK_TO_SEAL:
            with nogil:
                good = link.seal(kind, body, out)
        else:
            good = link.seal(kind, body, out)
        if not good:
            return False
        out += sealed_size(body.size())
    return True


cdef bytes sealed_message(CurveLink* link, tuple frames):
    """None: the connection is over."""
    cdef bytes message = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size_when_sealed(frames))
    return message if seal_message(link, frames, PyBytes_AS_STRING(message)) else None


cdef bytes sealed_run(CurveLink* link, bytes run):
    """Of whole frames as they would be without keys; None: the connection is over."""
    cdef string_view frames = view_of(run)
    cdef size_t size = CurveLink.sealed_size(frames)
    if size == 0:
        raise ValueError("only what encoded() makes can be sealed")
    cdef bytes sealed = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    cdef char* out = PyBytes_AS_STRING(sealed)
    cdef bint good
    if size > QUICK_TO_SEAL:
        with nogil:
            good = link.seal_frames(frames, out)
    else:
        good = link.seal_frames(frames, out)
    return sealed if good else None
