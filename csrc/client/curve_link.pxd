from libc.stdint cimport uint8_t
from libcpp cimport bool
from libcpp.memory cimport shared_ptr

from base.std cimport string_view


cdef extern from "zmtp/commands.h" namespace "laplace::zmtp" nogil:
    cdef enum class SocketType(uint8_t):
        unknown
        req
        dealer


cdef extern from "crypto/sodium.h" namespace "laplace::crypto" nogil:
    bool have_sodium() noexcept


cdef extern from "zmtp/curve_traffic.h" namespace "laplace::zmtp" nogil:
    cdef enum class FrameKind "laplace::zmtp::CurveTraffic::Kind":
        last
        more
    size_t sealed_size "laplace::zmtp::CurveTraffic::sealed_size"(size_t body) noexcept


cdef extern from "client/client_keys.h" namespace "laplace" nogil:
    const size_t key_size "laplace::crypto::key_size"
    cdef cppclass NativeKeys "laplace::ClientKeys":
        NativeKeys() except +
        bool set(const char* secret_key, const char* server_key) noexcept


cdef extern from "client/curve_link.h" namespace "laplace" nogil:
    cdef cppclass CurveLink:
        CurveLink(shared_ptr[NativeKeys] keys, SocketType own) except +
        string_view begin() noexcept
        bool is_greeted() noexcept
        bool seal(FrameKind kind, string_view body, char* out) noexcept
        bool seal_frames(string_view frames, char* out) noexcept

        @staticmethod
        size_t sealed_size(string_view frames) noexcept
