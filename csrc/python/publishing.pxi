# The usual call of publish(), without Python's frames: they would take a third of its time.

import functools

from cpython.dict cimport PyDict_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport uint64_t

from base.clock cimport wall_clock_s


def publishing(str engine not None):
    """See `_core.pyi`."""
    def decorate(method):
        @functools.wraps(method)
        def publish(self, stream, data, *, timestamp=None, copy=True, lost_before=0):
            cdef uint64_t number = 0
            cdef Streams streams
            cdef StreamRef found
            if (
                timestamp is None and (copy is True or copy is False) and lost_before == 0
                and PyUnicode_CheckExact(stream)
                and PyDict_CheckExact(data) and is_flat(<dict>data)
            ):
                streams = (<Core?>getattr(self, engine).core).streams
                found = streams.by_name.get(stream)
                if found is not None:
                    number = streams.append_flat(found, <dict>data, wall_clock_s(), 0)
            if number == 0:  # nothing was published
                return method(
                    self, stream, data, timestamp=timestamp, copy=copy, lost_before=lost_before
                )
            return number

        return publish

    return decorate
