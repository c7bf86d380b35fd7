from libcpp cimport bool


cdef extern from "transport/zmq_api.h" namespace "laplace" nogil:
    cdef enum class load_status:
        loaded
        not_found
        symbol_missing
        too_old
    load_status native_load_zmq "laplace::load_zmq"(
        const char* path, bool only_loaded, const char** missing) noexcept
    const void* zmq_identity() noexcept
    ctypedef struct zmq_api:
        void (*version)(int* major, int* minor, int* patch) noexcept
    zmq_api zmq
