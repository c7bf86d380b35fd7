from libc.stdint cimport uint64_t
from libcpp cimport bool
from libcpp.vector cimport vector

from requests.job_queue cimport Answered, Attention, Denied, Job, Refused
from server.result_queue cimport Result


cdef extern from "server/worker.h" namespace "laplace" nogil:
    cdef cppclass Worker:
        bool try_next(Job& job, Attention& attention) noexcept
        Attention next(Job& job) noexcept
        bool try_next_builtin(Job& job) noexcept
        void look_each(uint64_t period_ns) noexcept
        vector[Answered] take_log() noexcept
        vector[Denied] take_denials() noexcept
        vector[Refused] take_refusals() noexcept
        bool try_finish(Result& result) except +
        void finish(Result result) except +
