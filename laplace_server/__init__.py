"""ZeroMQ server for lab instruments that answers whatever the program around it is doing."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("laplace-server")
except PackageNotFoundError:  # imported from a source tree that is not installed
    __version__ = "unknown"

from laplace_server.server_lhc import ServerLHC

__all__ = ["ServerLHC", "__version__"]
