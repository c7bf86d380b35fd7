"""Pyro5: an exposed object in a Daemon, called through a Proxy for each client.

The server is the default one, with threads. The address is the object's URI.
"""

from __future__ import annotations

import threading
from typing import Any

import Pyro5.api  # type: ignore[import-untyped]

from benchmarks.requests.peers.device import Device
from benchmarks.requests.work import POSITIONS, Work, begin_company, move

REQUIREMENT = "Pyro5==5.17"
CANNOT: dict[str, str] = {}

# A thread for each connected client, more than the 80 of the default; the documentation's fastest
# serializer.
Pyro5.api.config.THREADPOOL_SIZE = 600
Pyro5.api.config.SERIALIZER = "marshal"


@Pyro5.api.expose
class Exposed:
    """What clients may call."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def read(self) -> list[float]:
        return self._device.read()

    def move(self, positions: list[float]) -> None:
        move(positions)


def serve(work: Work) -> str:
    """Run the daemon's request loop in a thread; return the URI."""
    device = Device(work)
    daemon = Pyro5.api.Daemon(host="127.0.0.1", port=0)
    uri = daemon.register(Exposed(device))
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    begin_company(work, device.publish)
    return str(uri)


class PyroClient:
    """A Proxy, hence a connection of its own."""

    def __init__(self, address: str, work: Work) -> None:
        self._proxy = Pyro5.api.Proxy(address)
        self._command = work.command

    def request(self) -> Any:
        if not self._command:
            return self._proxy.read()
        self._proxy.move(POSITIONS)
        return True

    def close(self) -> None:
        self._proxy._pyroRelease()


def client(address: str, work: Work) -> PyroClient:
    """Return a client of the object with the URI ``address``."""
    return PyroClient(address, work)
