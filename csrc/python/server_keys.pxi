# Keys of a server and of its clients, for the core.

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libcpp.memory cimport make_shared, shared_ptr

from base.roles cimport max_roles
from crypto.sodium cimport have_sodium
from transport.server_keys cimport ServerKeys as NativeServerKeys

cdef enum:
    KEY_SIZE = 32


cdef const unsigned char* key_bytes(object key) except NULL:
    if not isinstance(key, bytes):
        raise TypeError(f"a key is bytes, not {type(key).__name__}")
    if PyBytes_GET_SIZE(key) != KEY_SIZE:
        raise ValueError(f"a key has {KEY_SIZE} bytes, not {len(key)}")
    return <const unsigned char*>PyBytes_AS_STRING(key)


@cython.final
cdef class ServerKeys:
    """A server's secret key, and the keys of its clients with their roles. See `_core.pyi`."""

    cdef shared_ptr[NativeServerKeys] native

    def __cinit__(self, bytes secret_key not None, clients):
        if not have_sodium():
            raise RuntimeError("libsodium has not been loaded, and there are no keys without")
        self.native = make_shared[NativeServerKeys]()
        if not self.native.get().set_own(key_bytes(secret_key)):
            raise ValueError("libsodium makes no public key of that secret key")
        for public_key, role, number in clients:
            if not 0 <= role < max_roles:
                raise ValueError(f"there is no role {role}")
            if not 0 < number <= <uint32_t>-1:
                raise ValueError(f"a key cannot have the number {number}")
            if not self.native.get().add(key_bytes(public_key), role, number):
                raise ValueError(f"one of two keys alike, or of the same number: {number}")

    def __reduce__(self):
        raise TypeError("keys of a server cannot be pickled")
