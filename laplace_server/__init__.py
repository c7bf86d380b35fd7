"""ZeroMQ server for lab instruments that answers whatever the program around it is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC

    __version__: str

__all__ = ["ServerLHC", "__version__"]


if not TYPE_CHECKING:  # a checker would take any name for one of the module

    def __getattr__(name: str) -> Any:
        """Load what is asked for: a client loads no server, and an error class neither of them."""
        if name == "ServerLHC":
            from laplace_server.server_lhc import ServerLHC

            return ServerLHC
        if name == "__version__":
            from laplace_server.wire.version import package_version

            return package_version()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
