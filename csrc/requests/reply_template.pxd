from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "requests/reply_template.h" namespace "laplace" nogil:
    cdef enum class Hole:
        to
        cmd
        body
        version
        error
        none
    cdef cppclass Piece "laplace::ReplyTemplate::Piece":
        string literal
        Hole hole
    cdef cppclass ReplyTemplate:
        vector[Piece] pieces
