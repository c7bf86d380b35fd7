# By which keys a client and one server know each other.

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libcpp.memory cimport make_shared, shared_ptr

from client.curve_link cimport NativeKeys, have_sodium, key_size


@cython.final
@cython.auto_pickle(False)
cdef class ClientKeys:
    """See `_frames.pyi`."""

    cdef shared_ptr[NativeKeys] native

    def __cinit__(self, bytes secret_key not None, bytes server_key not None):
        if not have_sodium():  # which also wipes them
            raise RuntimeError("libsodium is not loaded")
        for name, key in (("secret_key", secret_key), ("server_key", server_key)):
            if <size_t>PyBytes_GET_SIZE(<bytes>key) != key_size:
                raise ValueError(f"{name} must have {<int>key_size} bytes")
        self.native = make_shared[NativeKeys]()
        if not self.native.get().set(PyBytes_AS_STRING(secret_key), PyBytes_AS_STRING(server_key)):
            raise ValueError("server_key is no key that anybody could have made")

    def __reduce_ex__(self, protocol):
        raise TypeError("ClientKeys hold a secret key and are neither copied nor pickled")
