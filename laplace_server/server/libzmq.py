"""Which libzmq the compiled core uses: the one pyzmq has loaded, wherever it can be found.

One process then holds one libzmq, and upgrading pyzmq upgrades it. pyzmq's Windows wheel hides
its copy, so the Windows wheel of this package carries a DLL of its own, in the folder ``bundled``.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ENVIRONMENT_VARIABLE = "LAPLACE_LIBZMQ"
BUNDLED = Path(__file__).parents[1] / "bundled"

# (path, only if this process has loaded it already) -> "" or why it cannot be used
Load = Callable[[str, bool], str]


def load(
    load_library: Load,
    *,
    environment: Mapping[str, str] = os.environ,
    candidates: Callable[[], Iterator[tuple[str, str, bool]]] | None = None,
) -> str:
    """Fill the core's table of libzmq functions; returns where they came from.

    An explicit ``LAPLACE_LIBZMQ`` (path of a shared library) is the only one tried when set.

    Raises:
        ImportError: no usable libzmq; the text lists what was tried and says what to do.
    """
    explicit = environment.get(ENVIRONMENT_VARIABLE)
    if explicit:
        if os.path.dirname(explicit):  # Windows takes whole paths only
            explicit = os.path.abspath(explicit)
        problem = load_library(explicit, False)
        if problem:
            raise ImportError(
                f"laplace_server cannot use the libzmq that {ENVIRONMENT_VARIABLE} names: "
                f"{explicit} ({problem}). Point it to a libzmq 4.2 or later, or unset it."
            )
        return explicit
    tried = []
    for kind, path, only_loaded in (candidates or default_candidates)():
        problem = load_library(path, only_loaded)
        if not problem:
            return path
        tried.append(f"  {kind}: {path} ({problem})")
    raise ImportError(
        "laplace_server found no usable libzmq. Tried:\n"
        + "\n".join(tried)
        + f"\nReinstall {_provider()} from its wheel (pip install --force-reinstall "
        f"{_provider()}), or set {ENVIRONMENT_VARIABLE} to the path of a libzmq 4.2 or later."
    )


def default_candidates() -> Iterator[tuple[str, str, bool]]:
    """Yield (what it is, path, whether it must be loaded already), best first."""
    backend = pyzmq_backend()
    if backend is not None:
        yield "pyzmq's compiled module", backend, True
    for bundled in sorted(BUNDLED.glob(f"*zmq*{_suffix()}*")):
        yield "bundled with laplace_server", str(bundled), False
    for name in ("zmq", "libzmq"):  # Windows knows the second
        system = ctypes.util.find_library(name)
        if system is not None:
            yield "the system's library", system, False


def pyzmq_backend() -> str | None:
    """Path of pyzmq's compiled module, whose dependencies include its libzmq."""
    import zmq  # loads the module that is asked for below

    del zmq
    for name in ("zmq.backend.cython._zmq", "zmq.backend.cffi._cffi"):
        path = getattr(sys.modules.get(name), "__file__", None)
        if path is not None:
            return str(path)
    return None


def _provider() -> str:
    """Whose wheel brings the libzmq of this system."""
    return "laplace-server" if sys.platform == "win32" else "pyzmq"


def _suffix() -> str:
    if sys.platform == "win32":
        return ".dll"
    return ".dylib" if sys.platform == "darwin" else ".so"
