from libcpp cimport bool
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "base/interfaces.h" namespace "laplace" nogil:
    cdef cppclass InterfaceAddress:
        string name
        string address
        bool running
        bool loopback
        bool internal
    int list_interfaces(vector[InterfaceAddress]& found) noexcept
