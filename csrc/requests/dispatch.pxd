from libcpp.string cimport string
from libcpp.vector cimport vector

from base.roles cimport Roles
from requests.reply_template cimport ReplyTemplate


cdef extern from "requests/dispatch.h" namespace "laplace" nogil:
    cdef enum class Action:
        python
        ping
        info
        get
        builtin
    cdef cppclass Command:
        string name
        Action action
        unsigned index
        Roles roles
    cdef cppclass DispatchTable:
        vector[Command] commands
        Command other
        vector[string] accepted_versions
        ReplyTemplate ping
        ReplyTemplate info
        ReplyTemplate get
        ReplyTemplate arrays
        ReplyTemplate error
        string default_version
        string unknown
        string busy
        string stopping, stopping_begun, too_large, too_many_frames
        string denied_before, denied_between, denied_after
        vector[string] role_names
