from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.std cimport string_view
from streams.stream cimport History, Stream
from streams.subscribers cimport Ledger
from transport.message cimport Message


cdef extern from "server/publisher.h" namespace "laplace" nogil:
    cdef cppclass Publisher:
        shared_ptr[Stream] declare(
            const string& name, const string& json, History history, bool change,
            uint64_t first) except +
        void finish(Stream& stream, uint64_t lost, bool says_so) noexcept
        uint64_t append(Stream& stream, string_view text, bool loose, double time,
                        vector[Message]& arrays, uint64_t lost_before) except +
        vector[shared_ptr[Ledger]] give_up(
            Stream& stream, size_t text_bytes, const vector[Message]& arrays,
            uint64_t lost_before) except +
        size_t answering() noexcept
        shared_ptr[void] place() except +
        vector[shared_ptr[Ledger]] ledgers() except +
