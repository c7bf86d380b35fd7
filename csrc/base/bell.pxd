cdef extern from "base/bell.h" namespace "laplace" nogil:
    cdef cppclass Bell:
        pass
