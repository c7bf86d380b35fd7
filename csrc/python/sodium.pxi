# libsodium, for whichever of the two modules includes this: each has a table of its own.

from crypto.sodium cimport SodiumStatus, native_load_sodium


cdef void* address_of(void* where, const char* name) noexcept with gil:
    find, problems = <tuple>where
    try:
        return <void*><size_t>find(name.decode())
    except BaseException as problem:
        problems.append(problem)
    return NULL


def load_sodium(find):
    """Fill the table of libsodium's functions from what `find` says of their names.

    That is an address, or 0. Returns "" or why it did not work: "lacks sodium_...", "does not
    start". A table that is filled stays as it is.
    """
    cdef const char* missing = NULL
    problems = []
    where = (find, problems)
    cdef SodiumStatus status = native_load_sodium(address_of, <void*>where, &missing)
    if problems:
        raise problems[0]
    if status == SodiumStatus.loaded:
        return ""
    if status == SodiumStatus.symbol_missing:
        return f"lacks {missing.decode()}"
    return "does not start"
