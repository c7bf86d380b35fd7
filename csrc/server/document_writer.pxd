from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr

from base.bell cimport Bell
from documents.documents cimport Content, DocumentId, Refresh, RefresherTask, Taken, Text


cdef extern from "server/document_writer.h" namespace "laplace" nogil:
    cdef cppclass DocumentWriter:
        uint64_t replace(DocumentId which, Text text, bool is_error, bool live) noexcept
        uint64_t touch(DocumentId which, uint64_t generation) noexcept
        void mark_live(DocumentId which, uint64_t generation) noexcept
        uint64_t generation(DocumentId which) noexcept
        bool is_live(DocumentId which) noexcept
        bool is_unmade(DocumentId which) noexcept
        Text error(DocumentId which) noexcept
        bool take_after_get() noexcept
        void read_data(bool take, Content& content, Taken& taken) noexcept
        void put_back_data(const Taken& taken) noexcept
        void ask_refresh(DocumentId which) noexcept
        RefresherTask wait_refresh() noexcept
        Refresh begin_refresh(DocumentId which) noexcept
        void finish_refresh(DocumentId which, const Refresh& refresh, Text text, bool is_error,
                            bool live) noexcept
        const shared_ptr[Bell]& bell() noexcept
