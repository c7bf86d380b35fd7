from libcpp cimport bool


cdef extern from "crypto/sodium.h" namespace "laplace::crypto" nogil:
    cdef enum class SodiumStatus:
        loaded
        symbol_missing
        unusable
    ctypedef void* (*FindSymbol)(void* where, const char* name) noexcept
    bool have_sodium() noexcept
    SodiumStatus native_load_sodium "laplace::crypto::load_sodium"(
        FindSymbol find, void* where, const char** missing) noexcept
