"""Which libsodium encrypts: the one that pyzmq has loaded, wherever it can be found.

The compiled modules have a table of its functions each, and take their addresses from here. Only
what has to do with keys imports this. pyzmq's Windows wheel hides its libsodium, so there the
folder ``bundled`` is the place for a DLL of our own. Without libsodium, to ask for security is an
error: nothing is sent in the clear in its place.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ENVIRONMENT_VARIABLE = "LAPLACE_LIBSODIUM"
BUNDLED = Path(__file__).parents[1] / "bundled"

# What the compiled modules have: told how to find a function, "" or why it cannot be used.
Load = Callable[[Callable[[str], int]], str]


def load(
    load_functions: Load,
    *,
    environment: Mapping[str, str] = os.environ,
    candidates: Callable[[], Iterator[tuple[str, str]]] | None = None,
) -> str:
    """Fill a module's table of libsodium's functions; returns where they came from.

    An explicit ``LAPLACE_LIBSODIUM`` (path of a shared library) is the only one tried when set.

    Raises:
        ImportError: no usable libsodium; the text lists what was tried and says what to do.
    """
    explicit = environment.get(ENVIRONMENT_VARIABLE)
    if explicit:
        if os.path.dirname(explicit):  # Windows takes whole paths only
            explicit = os.path.abspath(explicit)
        problem = _load_from(explicit, load_functions)
        if problem:
            raise ImportError(
                f"laplace_server cannot use the libsodium that {ENVIRONMENT_VARIABLE} names: "
                f"{explicit} ({problem}). Point it to a libsodium 1.0.18 or later, or unset it."
            )
        return explicit
    tried = []
    for kind, path in (candidates or default_candidates)():
        problem = _load_from(path, load_functions)
        if not problem:
            return path
        tried.append(f"  {kind}: {path} ({problem})")
    provider = "laplace-server" if sys.platform == "win32" else "pyzmq"
    raise ImportError(
        "laplace_server found no usable libsodium, and has no security without. Tried:\n"
        + "\n".join(tried)
        + f"\nReinstall {provider} from its wheel (pip install --force-reinstall {provider}), or "
        f"set {ENVIRONMENT_VARIABLE} to the path of a libsodium 1.0.18 or later."
    )


def default_candidates() -> Iterator[tuple[str, str]]:
    """Yield (what it is, path), best first."""
    backend = _pyzmq_backend()
    if backend is not None:
        yield "pyzmq's compiled module", backend
    for bundled in sorted(BUNDLED.glob("*sodium*")):
        if bundled.suffix != ".txt":  # its licence
            yield "bundled with laplace_server", str(bundled)
    for name in ("sodium", "libsodium"):  # Windows knows the second
        system = ctypes.util.find_library(name)
        if system is not None:
            yield "the system's library", system


def _pyzmq_backend() -> str | None:
    """Path of pyzmq's compiled module: what it depends on is searched with it."""
    import zmq  # loads the module that is asked for below

    del zmq
    for name in ("zmq.backend.cython._zmq", "zmq.backend.cffi._cffi"):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path is not None:
            return str(path)
    return None


def _load_from(path: str, load_functions: Load) -> str:
    """Returns "" or why it did not work."""
    try:
        library = ctypes.CDLL(path)  # never closed: the table points into it until the process ends
    except OSError as problem:
        return str(problem)

    def find(name: str) -> int:
        try:
            function = getattr(library, name)
        except AttributeError:
            return 0
        return ctypes.cast(function, ctypes.c_void_p).value or 0

    return load_functions(find)
