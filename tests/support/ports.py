"""Ports of this machine that stay a test's own, also while nobody listens there."""

from __future__ import annotations

import socket
import sys

_held: list[HeldPort] = []


class HeldPort:
    """A port of 127.0.0.1 where nobody listens, and that nobody else is given until close().

    Without this, a server that another test starts, or a client's end of a connection, may get the
    port of one that was stopped here and is to be started again. Linux lets a server have a port
    that is held but not listened at; elsewhere the port is only free.
    """

    def __init__(self) -> None:
        self._holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if sys.platform == "linux":
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.number: int = self._holder.getsockname()[1]
        if sys.platform != "linux":
            self._holder.close()

    def close(self) -> None:
        """Give it back."""
        self._holder.close()


def own_address() -> str:
    """An address with a port that is held until release()."""
    _held.append(HeldPort())
    return f"tcp://127.0.0.1:{_held[-1].number}"


def release() -> None:
    """Give all of them back."""
    while _held:
        _held.pop().close()
