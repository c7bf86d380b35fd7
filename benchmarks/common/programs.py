"""What the measured programs share."""

from __future__ import annotations

import socket
import threading


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def compute(over: threading.Event) -> None:
    """Keep the interpreter busy until it is over."""
    number = 1
    while not over.is_set():
        for _ in range(1000):
            number = (number * 5 + 3) % 1000003
