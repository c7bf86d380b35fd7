"""Ports of this machine that stay a test's own, also while nobody listens there."""

from __future__ import annotations

import socket
import sys

_held: list[socket.socket] = []


def own_address() -> str:
    """An address where nobody listens, and that the system gives nobody else until release().

    Without this, a server that another test starts may get the port of one that was stopped here
    and is to be started again. Linux lets a server have a port that is held but not listened at;
    elsewhere the port is only free.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if sys.platform == "linux":
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    if sys.platform == "linux":
        _held.append(holder)
    else:
        holder.close()
    return f"tcp://127.0.0.1:{port}"


def release() -> None:
    """Give all of them back."""
    while _held:
        _held.pop().close()
