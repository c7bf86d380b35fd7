from libc.stdint cimport uint8_t


cdef extern from "requests/scan.h" nogil:
    ctypedef struct ls_value:
        const char* text
        size_t size
        uint8_t kind
        uint8_t truth
        uint8_t escaped
    ctypedef struct ls_envelope:
        ls_value version
        ls_value cmd
        ls_value sender "from"
        ls_value payload
    int LS_ABSENT
    int ls_scan(const char* data, size_t size, ls_envelope* out) noexcept
