"""ZeroMQ server for lab instruments that answers whatever the program around it is doing."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

try:
    __version__ = version("laplace-server")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "unknown"

try:
    from laplace_server.server_lhc import ServerLHC
except ImportError:
    if find_spec("laplace_server._core") is not None:
        raise
    raise ImportError(
        f"the compiled core of laplace_server is not built for this Python in {__path__[0]}. "
        "Is that a clone of the repository? To use the installed package, start Python in another "
        "folder; to build the core in the clone: pip install -e ."
    ) from None

__all__ = ["ServerLHC", "__version__"]
