# Documents themselves are the loop's; what the program does with them: server/document_writer.pxd.
from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from base.std cimport string_view


cdef extern from "documents/documents.h" namespace "laplace" nogil:
    cdef enum class DocumentId:
        data
        info
    ctypedef shared_ptr[const string] Text
    Text joined(const vector[string_view]& parts) noexcept
    cdef cppclass Content:
        Text text
        bool is_error
        uint64_t generation
    cdef cppclass Taken:
        pass
    cdef cppclass Refresh:
        uint64_t generation
    cdef enum class RefresherTask:
        data
        info
        release
        jobs
        end
