# Of the C++ standard library, what Cython's libcpp lacks or has only in newer versions.
from libcpp cimport bool


cdef extern from "<atomic>" namespace "std" nogil:
    cdef cppclass atomic_bool "std::atomic<bool>":
        bool load() noexcept
        void store(bool value) noexcept


cdef extern from "<string_view>" namespace "std" nogil:
    cdef cppclass string_view:
        string_view() noexcept
        string_view(const char* text, size_t size) noexcept
        const char* data() noexcept
        size_t size() noexcept


cdef extern from "<thread>" namespace "std::this_thread" nogil:
    void yield_now "std::this_thread::yield"() noexcept
