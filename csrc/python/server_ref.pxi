# Who holds a native server.

cimport cython
from cython.operator cimport dereference
from libcpp.memory cimport shared_ptr

from server.server cimport Server, fork_count

from laplace_server.errors import ForkedServerError


@cython.final
cdef class ServerRef:
    """A server, ended when nothing of Python refers to it any more."""

    cdef shared_ptr[Server]* server
    cdef unsigned forks  # when it was made

    def __cinit__(self):
        self.server = NULL
        self.forks = fork_count()

    def __dealloc__(self):
        # In a forked child the threads and sockets are the parent's: leave them alone.
        if self.server != NULL and self.forks == fork_count():
            with nogil:
                dereference(self.server).get().request_stop()
                del self.server
            let_go()

    cdef bint forked(self) noexcept:
        return self.forks != fork_count()

    cdef Server* here(self) except NULL:
        if self.forks != fork_count():
            raise ForkedServerError(
                "this server belongs to the parent process; a forked child cannot use it. "
                "Start child processes with the 'spawn' method, or make the server in the child")
        if self.server == NULL:
            raise RuntimeError("there is no server")
        return dereference(self.server).get()
