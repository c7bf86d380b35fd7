from libc.stdint cimport uint16_t
from libcpp cimport bool
from libcpp.string cimport string

from client.transfer cimport Descriptor


cdef extern from "tcp/address.h" namespace "laplace" nogil:
    cdef cppclass Address:
        pass
    int numeric_address(const string& host, uint16_t port, Address& address) noexcept


cdef extern from "client/client_socket.h" namespace "laplace" nogil:
    cdef cppclass ClientSocket:
        int open(const Address& address, int& result) noexcept
        bool is_its_own_peer(const Address& address) noexcept
        void take_leave() noexcept
        void close() noexcept
        bool is_open() noexcept
        Descriptor descriptor() noexcept
