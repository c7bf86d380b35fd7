cdef extern from "base/crash_notes.h" namespace "laplace" nogil:
    int native_write_crash_notes_at_signals "laplace::write_crash_notes_at_signals"(
        int descriptor) noexcept
