# From a private copy to JSON text. Arrays are written into the text, or set apart from it.


cdef class Values:
    """An array's values as they were at the door, shared by all places where it stands."""

    cdef object array   # in C order; for an update, the program's own array
    cdef object listed  # what orjson can write, once made

    def __cinit__(self, array):
        self.array = array

    cdef object as_json(self):
        if self.listed is None:
            self.listed = listed_array(self.array)
        return self.listed


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
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")

    cdef object array(self, Place place):
        return place.values.as_json()


cdef class ArraysApart(WithArrays):
    """Sets arrays apart: null stands in their places."""

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


cdef object WITH_ARRAYS = WithArrays()


cdef bint is_masked(value) except -1:
    masked = numpy_type("ma")
    return masked is not None and isinstance(value, masked.MaskedArray)


cdef object private_array(value):
    return sys.modules["numpy"].array(value, order="C", copy=True, subok=False)


cdef object listed_array(value):
    """An array as one that orjson writes, or as lists where it cannot."""
    numpy = sys.modules["numpy"]
    dtype = value.dtype
    if value.ndim > 0:
        if dtype.kind == "f" and dtype.itemsize not in (4, 8):
            dtype = numpy.dtype("f4" if dtype.itemsize < 4 else "f8")
        value = value.astype(dtype.newbyteorder("="), copy=False)
        if dtype.kind != "f" or numpy.isfinite(value).all():
            return value
    lists = value.tolist()
    if is_plain(<PyObject*>lists):
        return lists
    return copy_value(<PyObject*>lists, INSIDE, Walk(), 1)


cdef bytes encode(private, default=WITH_ARRAYS):
    try:
        return dumps(private, default, OPTIONS)
    except orjson.JSONEncodeError as problem:
        raise TypeError(f"data: {shown(problem, str)}") from None
