# From what a program hands over to JSON text. orjson must never see a container that
# another thread can still change (that is a segmentation fault, not an exception), so
# containers are copied first: a dict copy and a list slice are atomic under the GIL.
# On the way the copier turns what orjson cannot say into what it can, and counts
# references: data that only the server refers to can never change again. Arrays are left where
# they are: who wants values of one moment takes them right after the walk.

import dataclasses
import datetime
import decimal
import enum
import json
import os
import sys
import uuid

from _weakref import getweakrefcount

import orjson
from cpython.buffer cimport (
    PyBUF_STRIDED_RO, PyBuffer_Release, PyBuffer_ToContiguous, PyObject_GetBuffer)
from cpython.dict cimport PyDict_Copy, PyDict_Next, PyDict_SetItem
from cpython.complex cimport PyComplex_Check, PyComplex_ImagAsDouble, PyComplex_RealAsDouble
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GetSlice
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport isfinite, isnan

cdef extern from "Python.h":
    bint PyDict_CheckExact(object value)
    bint PyAnySet_Check(object value)
    bint PyAnySet_CheckExact(object value)
    bint PyBool_Check(object value)
    bint PyLong_CheckExact(object value)
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object value) except? 18446744073709551615
    object PyUnicode_FromObject(object value)
    bint PyUnicode_IS_ASCII(object value)
    const char* PyUnicode_AsUTF8AndSize(object value, Py_ssize_t* size) except NULL
    # On the pointer: an object argument could be counted once more by the call.
    Py_ssize_t Py_REFCNT(PyObject* value) noexcept
    bint PyGC_Disable() noexcept
    bint PyGC_Enable() noexcept

# orjson goes no deeper.
cdef int DEEPEST = 250
# References to a container inside another one that nobody else holds: its parent's and
# that of the parent's copy.
cdef Py_ssize_t INSIDE = 2

cdef object dumps = orjson.dumps
cdef object NAN_TEXT = orjson.Fragment(b"NaN")
cdef object INFINITY_TEXT = orjson.Fragment(b"Infinity")
cdef object MINUS_INFINITY_TEXT = orjson.Fragment(b"-Infinity")
cdef int OPTIONS = orjson.OPT_SERIALIZE_NUMPY


# Before Python 3.12 garbage is collected wherever something is allocated, and finalizers and
# gc.callbacks run there; where these are Python, other threads get their turn.
cdef bint COLLECTS_ANYWHERE = sys.version_info < (3, 12)


cdef class Moment:
    """While there is one, no garbage is collected in the midst of ours: nobody else runs."""

    cdef bint is_held

    def __cinit__(self):
        self.is_held = COLLECTS_ANYWHERE and PyGC_Disable()

    def __dealloc__(self):
        if self.is_held:
            PyGC_Enable()


cdef class Walk:
    """One pass over somebody's data."""

    cdef Moment moment          # until all that belongs together has been copied
    cdef bint owned             # nobody but the server refers to any container seen so far
    cdef Py_ssize_t array_bytes
    cdef dict arrays            # Values by id of their array, so that each is copied once
    cdef list path              # where it is now: indices, keys; those that are no str in a tuple
    cdef bint loose             # its text is not strict JSON, or orjson misreads it

    def __cinit__(self):
        self.moment = Moment()
        self.owned = True
        self.arrays = {}
        self.path = []

    cdef Values values_of(self, array):
        cdef Values values = self.arrays.get(id(array))
        if values is None:
            values = Values(array)
            self.arrays[id(array)] = values
            self.array_bytes += values.array.nbytes
        return values

    cdef Values copied(self, array):
        cdef Values values = Values(private_array(array))
        values.is_copy = True
        self.arrays[id(values)] = values
        self.array_bytes += values.array.nbytes
        return values

    cdef void separate_arrays(self, dict before=None) except *:
        """Copy the arrays, unless they are equal to those of an earlier walk, by id."""
        cdef Values values
        for number, values in self.arrays.items():
            values.separate(None if before is None else before.get(number))
        self.moment = None

    cdef void let_go(self) noexcept:
        """Forget what was found; what was made of it stays."""
        cdef Values values
        self.moment = None
        for values in self.arrays.values():
            values.original = None


cdef bint is_utf8(text) except -1:
    """Whether a str can be UTF-8: lone surrogates cannot, and orjson refuses them."""
    cdef Py_ssize_t size
    if PyUnicode_IS_ASCII(text):
        return True
    try:
        PyUnicode_AsUTF8AndSize(text, &size)
    except UnicodeEncodeError:
        return False
    return True


cdef inline bint is_plain(PyObject* item) except -1:
    """Whether a value needs no look: immutable, and orjson writes it as json would."""
    cdef int overflow = 0
    value = <object>item
    if PyFloat_CheckExact(value):
        return isfinite(PyFloat_AS_DOUBLE(value))
    if PyUnicode_CheckExact(value):
        return PyUnicode_IS_ASCII(value) or is_utf8(value)
    if value is None or PyBool_Check(value):
        return True
    if PyLong_CheckExact(value):
        PyLong_AsLongLongAndOverflow(value, &overflow)
        return overflow == 0
    return False


cdef object copy_dict(dict source, Walk walk, int depth):
    cdef dict private = PyDict_Copy(source)
    cdef Py_ssize_t position = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    cdef bint plain_keys = True
    cdef bint utf8_keys = True
    while PyDict_Next(private, &position, &key, &item):
        if not PyUnicode_CheckExact(<object>key):
            plain_keys = False
        elif not is_utf8(<object>key):
            utf8_keys = False
        if not is_plain(item):
            walk.path.append(<object>key if PyUnicode_CheckExact(<object>key) else (<object>key,))
            changed = copy_value(item, INSIDE, walk, depth + 1)
            walk.path.pop()
            # Allowed during PyDict_Next: the key is there already.
            PyDict_SetItem(private, <object>key, changed)
    if not plain_keys:
        private = {text_of_key(name): value for name, value in private.items()}
        utf8_keys = all([is_utf8(name) for name in private])
    if utf8_keys:
        return private
    walk.loose = True
    return OddKeys(private)


cdef list copy_list(list source, Walk walk, int depth):
    return make_plain(PyList_GetSlice(source, 0, len(source)), walk, depth)


cdef list make_plain(list private, Walk walk, int depth):
    """Replace what is not plain in a list that nobody else has."""
    cdef Py_ssize_t i
    cdef PyObject* item
    for i in range(len(private)):
        item = PyList_GET_ITEM(private, i)
        if not is_plain(item):
            walk.path.append(i)
            private[i] = copy_value(item, INSIDE, walk, depth + 1)
            walk.path.pop()
    return private


cdef object text_of_key(key):
    """A key as the standard library's json writes it, and a few types more."""
    if PyUnicode_CheckExact(key):
        return key
    if isinstance(key, enum.Enum) and not isinstance(key, (str, int, float)):
        return text_of_key(key._value_)
    if isinstance(key, str):
        return PyUnicode_FromObject(key)
    if key is None:
        return "null"
    if key is True or key is False:
        return "true" if key else "false"
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        if isfinite(key):
            return float.__repr__(key)
        return "NaN" if isnan(key) else "Infinity" if key > 0 else "-Infinity"
    if isinstance(key, (datetime.date, datetime.time)):
        return key.isoformat()
    if isinstance(key, uuid.UUID):
        return str(key)
    if isinstance(key, decimal.Decimal):
        return text_of_key(float(key))
    if is_path(key):
        return os.fsdecode(key)
    if has_numpy() and isinstance(key, NUMPY_SCALAR):
        item = key.item()
        return text_of_key(float(item) if isinstance(item, NUMPY_SCALAR) else item)
    raise TypeError(f"a key of type {type(key).__name__} cannot be written as JSON")


cdef object copy_value(PyObject* item, Py_ssize_t expected, Walk walk, int depth):
    """A private stand-in for any value that is not plain."""
    cdef Py_ssize_t references = Py_REFCNT(item)
    cdef bint owned_before
    value = <object>item
    if depth > DEEPEST:
        raise TypeError(f"nested deeper than {DEEPEST} levels (or in a circle)")
    if PyDict_CheckExact(value):
        walk.owned = walk.owned and references <= expected
        return copy_dict(<dict>value, walk, depth)
    if PyList_CheckExact(value):
        walk.owned = walk.owned and references <= expected
        return copy_list(<list>value, walk, depth)
    if isinstance(value, tuple):
        # The tuple cannot change, but through another reference to it somebody can
        # reach what is inside and can.
        if references > expected or not PyTuple_CheckExact(value):
            owned_before = walk.owned
            walk.owned = True
            private = make_plain(list(value), walk, depth)
            walk.owned = owned_before and holds_no_container(<tuple>value)
            return private
        return make_plain(list(value), walk, depth)
    if isinstance(value, enum.Enum) and not isinstance(value, (str, int, float)):
        owned_before = walk.owned
        constant = value._value_  # of `value`, Python of the standard library's would run
        private = constant
        if not is_plain(<PyObject*>constant):
            private = copy_value(<PyObject*>constant, expected, walk, depth + 1)
        walk.owned = owned_before
        return private
    if isinstance(value, float):
        return float_text(value, walk)
    if isinstance(value, int):
        return long_integer_text(value, walk)
    if isinstance(value, str):
        text = PyUnicode_FromObject(value)
        return text if is_utf8(text) else loose_text(json.dumps(text).encode(), walk)
    if isinstance(value, dict):
        walk.owned = False
        return copy_dict(dict(value.items()), walk, depth)
    if isinstance(value, list):
        walk.owned = False
        return copy_list(list(value), walk, depth)
    if NDARRAY is not None and isinstance(value, NDARRAY):
        walk.owned = walk.owned and references <= expected and owns_its_memory(value)
        return copy_array(value, walk, depth)
    if PyComplex_Check(value):
        return [float_text(PyComplex_RealAsDouble(value), walk),
                float_text(PyComplex_ImagAsDouble(value), walk)]
    if PyAnySet_Check(value):
        walk.owned = walk.owned and references <= expected and PyAnySet_CheckExact(value)
        return make_plain(list(value), walk, depth)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if is_path(value):
        text = os.fsdecode(value)
        return text if is_utf8(text) else loose_text(json.dumps(text).encode(), walk)
    if type(value) is uuid.UUID:
        return value  # orjson writes it
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal):
        return float_text(float(value), walk)
    names = field_names(type(value))
    if names is not None:
        walk.owned = False
        return copy_dict({name: getattr(value, name) for name in names}, walk, depth)
    # Last, since it may have to wait for NumPy.
    if has_numpy():
        if isinstance(value, NDARRAY):
            walk.owned = walk.owned and references <= expected and owns_its_memory(value)
            return copy_array(value, walk, depth)
        if isinstance(value, NUMPY_SCALAR):
            return copy_numpy_scalar(value, walk, depth)
    raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")


cdef object copy_numpy_scalar(value, Walk walk, int depth):
    cdef str kind = value.dtype.kind
    if kind == "M":
        return copy_array(NUMPY.asarray(value), walk, depth)
    if kind not in "biufcU":
        raise TypeError(f"a value of type {type(value).__name__} cannot be written as JSON")
    scalar = value.item()
    if isinstance(scalar, NUMPY_SCALAR):  # longdouble: item() gives itself
        scalar = complex(scalar) if kind == "c" else float(scalar)
    if is_plain(<PyObject*>scalar):
        return scalar
    return copy_value(<PyObject*>scalar, INSIDE, walk, depth + 1)


cdef bint is_path(value) except -1:
    # What os.PathLike says, without its Python.
    return hasattr(type(value), "__fspath__")


cdef dict FIELD_NAMES = {}  # of dataclasses, so that their fields are told without Python


cdef tuple field_names(kind):
    """Of a dataclass; None for other types."""
    if not hasattr(kind, "__dataclass_fields__"):
        return None
    names = FIELD_NAMES.get(kind)
    if names is None:
        names = tuple([field.name for field in dataclasses.fields(kind)])
        if len(FIELD_NAMES) >= 1000:  # somebody makes them anew again and again
            FIELD_NAMES.clear()
        FIELD_NAMES[kind] = names
    return names


cdef bint holds_no_container(tuple value) except -1:
    for item in value:
        if isinstance(item, tuple):
            if not holds_no_container(item):
                return False
        elif not is_plain(<PyObject*>item) and not isinstance(item, (float, int, str)):
            return False
    return True


cdef object loose_text(bytes text, Walk walk):
    walk.loose = True
    return orjson.Fragment(text)


cdef object float_text(value, Walk walk):
    cdef double number = value
    if isfinite(number):
        return number
    walk.loose = True
    return NAN_TEXT if isnan(number) else INFINITY_TEXT if number > 0 else MINUS_INFINITY_TEXT


cdef object long_integer_text(value, Walk walk):
    number = int(value)
    if -0x8000000000000000 <= number <= 0xFFFFFFFFFFFFFFFF:
        return number
    return loose_text(int.__repr__(number).encode(), walk)


cdef object copy_array(value, Walk walk, int depth):
    """What stands for an array: of numbers, the Values at this Place; else lists."""
    cdef str kind = value.dtype.kind
    cdef bint owned_before
    if kind in "biufc":
        if not is_masked(value):
            return Place(walk.values_of(value), walk.path)
        # Copied at once, and not by its own methods, which are Python.
        mask = getattr(value, "_mask", False)
        return Masked(walk.copied(NDARRAY.view(value, NDARRAY)),
                      walk.copied(mask) if isinstance(mask, NDARRAY) else None)
    if kind == "M":
        value = NUMPY.datetime_as_string(value)
    elif kind not in "biufcUOT":
        raise TypeError(f"an array of {value.dtype} cannot be written as JSON")
    # The lists are new, so nobody else has them, but an array of objects may hold what is not.
    owned_before = walk.owned
    lists = value.tolist()
    private = lists if is_plain(<PyObject*>lists) else copy_value(
        <PyObject*>lists, INSIDE, walk, depth + 1)
    walk.owned = owned_before and kind != "O"
    return private


cdef str shown(value, write=repr):
    """What a value or an exception says of itself; its type where it does not."""
    try:
        return write(value)
    except Exception:
        return f"<{type(value).__name__}>"


cdef object copy_document(source, bint exclusive, Walk walk):
    """A private copy of a whole document; `walk.owned` tells whether it can still change.

    `exclusive`: nobody but the server refers to `source` itself. Whatever goes wrong with
    somebody's values is a TypeError that names the place.
    """
    walk.owned = exclusive and PyDict_CheckExact(source)
    try:
        if PyDict_CheckExact(source):
            return copy_dict(<dict>source, walk, 1)
        return copy_dict(dict(source.items()), walk, 1)
    except MemoryError:
        raise
    except Exception as problem:
        place = "data" + "".join([f"[{shown(step[0] if isinstance(step, tuple) else step)}]"
                                 for step in walk.path])
        raise TypeError(f"{place}: {shown(problem, str)}") from None
