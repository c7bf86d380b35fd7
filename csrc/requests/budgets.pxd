cdef extern from "requests/budgets.h" namespace "laplace" nogil:
    cdef cppclass Limits:
        size_t pending
        size_t pending_bytes
        size_t peer_pending
        size_t peer_pending_bytes
        size_t peer_parked_bytes
