cdef extern from "base/thread_name.h" namespace "laplace" nogil:
    void native_name_this_thread "laplace::name_this_thread"(const char* name) noexcept
