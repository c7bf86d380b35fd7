# What `copy=True` keeps: plain dicts, lists, tuples and arrays of the server's own, with the values
# of that moment. Values that cannot change are kept as they are.


cdef tuple UNCHANGING = (
    float, int, str, complex, datetime.date, datetime.time, uuid.UUID, decimal.Decimal)


cdef class Kept:
    """How a copy of one's own turned out."""

    cdef bint converts  # something in it is not what orjson writes as it is

    def __cinit__(self):
        self.converts = False


cdef dict own_copy(source, Kept kept):
    """A copy of a whole document. Whatever goes wrong is a TypeError that names the place."""
    try:
        return own_dict(source if PyDict_CheckExact(source) else dict(source.items()), kept, 1)
    except MemoryError:
        raise
    except Exception as problem:
        copy_document(source, False, Walk())  # most likely it meets the same, and knows where
        raise TypeError(f"data: {shown(problem, str)}") from None


cdef dict own_dict(dict source, Kept kept, int depth):
    cdef dict own = PyDict_Copy(source)
    cdef Py_ssize_t position = 0
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    while PyDict_Next(own, &position, &key, &item):
        if not PyUnicode_CheckExact(<object>key) or not is_utf8(<object>key):
            kept.converts = True
        if not is_plain(item):
            # Allowed during PyDict_Next: the key is there already.
            PyDict_SetItem(own, <object>key, own_value(<object>item, kept, depth + 1))
    return own


cdef list own_list(list own, Kept kept, int depth):
    """Replace what is not plain in a list that nobody else has."""
    cdef Py_ssize_t i
    for i in range(len(own)):
        if not is_plain(PyList_GET_ITEM(own, i)):
            own[i] = own_value(own[i], kept, depth + 1)
    return own


cdef object own_value(value, Kept kept, int depth):
    if depth > DEEPEST:
        raise TypeError(f"nested deeper than {DEEPEST} levels (or in a circle)")
    if PyDict_CheckExact(value):
        return own_dict(<dict>value, kept, depth)
    if PyList_CheckExact(value):
        return own_list(PyList_GetSlice(value, 0, len(value)), kept, depth)
    kept.converts = True
    if isinstance(value, tuple):
        return tuple(own_list(list(value), kept, depth))
    if isinstance(value, dict):
        return own_dict(dict(value.items()), kept, depth)
    if isinstance(value, list) or PyAnySet_Check(value):
        return own_list(list(value), kept, depth)
    if isinstance(value, UNCHANGING):
        return value
    if isinstance(value, enum.Enum):
        constant = value._value_
        return value if is_plain(<PyObject*>constant) or isinstance(constant, UNCHANGING) else (
            own_value(constant, kept, depth + 1))
    if is_path(value):
        pure = getattr(sys.modules.get("pathlib"), "PurePath", ())
        return value if isinstance(value, pure) else os.fsdecode(value)
    names = field_names(type(value))
    if names is not None:
        return own_dict({name: getattr(value, name) for name in names}, kept, depth)
    # Last, since it may have to wait for NumPy.
    if has_numpy() and isinstance(value, NDARRAY):
        if value.dtype.kind == "O":
            lists = value.tolist()  # without dimensions, it is what is in it
            return lists if is_plain(<PyObject*>lists) else own_value(lists, kept, depth + 1)
        return value.copy() if is_masked(value) else private_array(value)
    return value


cdef object exchange_arrays(value):
    """Put copies in the places of arrays of numbers, in containers that nobody else has.

    Returns what stands for the value itself. No other thread runs meanwhile.
    """
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t i
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    if PyDict_CheckExact(value):
        while PyDict_Next(<dict>value, &position, &key, &item):
            if not is_plain(item):
                # Allowed during PyDict_Next: the key is there already.
                PyDict_SetItem(value, <object>key, exchange_arrays(<object>item))
    elif PyList_CheckExact(value):
        for i in range(len(<list>value)):
            if not is_plain(PyList_GET_ITEM(value, i)):
                value[i] = exchange_arrays(value[i])
    elif PyTuple_CheckExact(value):
        items = [exchange_arrays(each) for each in value]
        return tuple(items) if any([items[i] is not value[i] for i in range(len(items))]) else value
    elif NDARRAY is not None and type(value) is NDARRAY and value.dtype.kind in "biufc":
        return private_array(value)
    return value
