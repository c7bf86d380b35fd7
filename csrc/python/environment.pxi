# What the core finds around it: libzmq, the rights of its threads, network interfaces.

from libcpp.vector cimport vector

from base.crash_notes cimport native_write_crash_notes_at_signals
from base.interfaces cimport InterfaceAddress, list_interfaces
from base.real_time cimport native_may_be_real_time
from base.thread_name cimport native_name_this_thread
from transport.zmq_api cimport load_status, native_load_zmq, zmq, zmq_identity


def load_libzmq(str path, bint only_loaded):
    """Fill the table of libzmq functions from the shared library at `path`.

    Returns "" or why it did not work: "not found", "lacks zmq_...", "too old".
    With `only_loaded`, a library that is not in this process yet is not found.
    """
    cdef const char* missing = NULL
    encoded = path.encode()
    cdef load_status status = native_load_zmq(encoded, only_loaded, &missing)
    if status == load_status.loaded:
        return ""
    if status == load_status.symbol_missing:
        return f"lacks {missing.decode()}"
    return "too old" if status == load_status.too_old else "not found"


def libzmq_version():
    """(major, minor, patch) of the libzmq in use, and the address of its zmq_version."""
    cdef int major = 0, minor = 0, patch = 0
    if zmq_identity() == NULL:
        raise RuntimeError("libzmq is not loaded")
    zmq.version(&major, &minor, &patch)
    return (major, minor, patch), <size_t>zmq_identity()


def may_be_real_time():
    """Whether the system permits threads that get a core before whatever computes."""
    return native_may_be_real_time()


def name_this_thread(str name):
    """Name the calling thread for debuggers and top; Linux shows 15 characters of it."""
    encoded = name.encode()
    native_name_this_thread(encoded)


def write_crash_notes_at_signals(int descriptor):
    """At a fatal signal, write there what each server was doing: see `_core.pyi`."""
    return native_write_crash_notes_at_signals(descriptor)


def interface_addresses():
    """The addresses of this machine's interfaces: see `_core.pyi`."""
    cdef vector[InterfaceAddress] found
    cdef int error
    with nogil:
        error = list_interfaces(found)
    if error != 0:
        raise OSError(error, "the system does not list its network interfaces")
    return [
        (each.name.decode(errors="surrogateescape"), <bytes>each.address,
         each.running, each.loopback, each.internal)
        for each in found
    ]
