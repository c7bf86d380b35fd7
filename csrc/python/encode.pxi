# From a private copy to JSON text. Arrays are written into the text, or left out of it.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libcpp.memory cimport make_shared
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.std cimport string_view
from documents.documents cimport Text, joined


cdef class Place:
    """Where in a private copy an array stands."""

    cdef Values values
    cdef list path

    def __cinit__(self, Values values, list path):
        self.values = values
        self.path = [text_of_key(step[0]) if isinstance(step, tuple) else step for step in path]


cdef class OddKeys:
    """A dict with keys that are not UTF-8, which orjson refuses."""

    cdef dict members

    def __cinit__(self, dict members):
        self.members = members

    cdef object as_json(self, default):
        members = [json.dumps(name).encode() + b":" + dumps(value, default, OPTIONS)
                   for name, value in self.members.items()]
        return orjson.Fragment(b"{" + b",".join(members) + b"}")


cdef class WithArrays:
    """Writes what stands for something else; arrays into the text."""

    def __call__(self, value):
        if isinstance(value, OddKeys):
            return (<OddKeys>value).as_json(self)
        if isinstance(value, Place):
            return self.array(<Place>value)
        if isinstance(value, Masked):
            return (<Masked>value).as_json()
        raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")

    cdef object array(self, Place place):
        return place.values.as_json()


cdef class ArraysBeside(WithArrays):
    """Leaves arrays out of the text: null stands in their places."""

    cdef list described  # path, dtype and shape
    cdef list arrays

    def __cinit__(self):
        self.described = []
        self.arrays = []

    cdef object array(self, Place place):
        array = place.values.array
        self.described.append(
            {"path": place.path, "dtype": array.dtype.str, "shape": array.shape})
        self.arrays.append(array)
        return None


cdef class LargeArraysLater(WithArrays):
    """Leaves a mark that no JSON holds, a NUL, where a large array's text is to be put."""

    cdef list large  # Values, in the order of the marks

    def __cinit__(self):
        self.large = []

    cdef object array(self, Place place):
        if place.values.array.nbytes <= PIECE:
            return place.values.as_json()
        self.large.append(place.values)
        return MARK


cdef object WITH_ARRAYS = WithArrays()
cdef object MARK = orjson.Fragment(b"\0")


cdef bytes encode(private, default=WITH_ARRAYS):
    try:
        return dumps(private, default, OPTIONS)
    except orjson.JSONEncodeError as problem:
        raise TypeError(f"data: {shown(problem, str)}") from None


cdef Text shared_text(bytes text) except *:
    return <Text>make_shared[string](cpp(text))


cdef Text text_of(private) except *:
    """The text of a private copy. Where it holds large arrays, other threads run meanwhile."""
    cdef LargeArraysLater later = LargeArraysLater()
    cdef vector[string_view] parts
    cdef Text text
    cdef bytes part
    whole = encode(private, later)
    if not later.large:
        return shared_text(whole)
    pieces = []
    for number, between in enumerate(whole.split(b"\0")):
        if number > 0:
            pieces += (<Values>later.large[number - 1]).as_pieces()
        pieces.append(between)
    for part in pieces:
        parts.push_back(string_view(PyBytes_AS_STRING(part), <size_t>PyBytes_GET_SIZE(part)))
    with nogil:
        text = joined(parts)
    if text.get() == NULL:
        raise MemoryError()
    return text


def encode_json(dict value not None):
    """JSON text of a dict: NaN and infinities as literals, NumPy values, long integers.

    TypeError, naming the place, where a value cannot be written.
    """
    return encode(copy_document(value, False, Walk()))
