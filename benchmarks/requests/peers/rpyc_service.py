"""RPyC: a Service with exposed methods in a ThreadedServer, one connection for each client.

Numbers travel as tuples, which RPyC copies; a list would stay in the server's process, each item
fetched by a request of its own. The address is the port.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import rpyc  # type: ignore[import-untyped]
from rpyc.utils.server import ThreadedServer  # type: ignore[import-untyped]

from benchmarks.requests.peers.device import Device
from benchmarks.requests.work import POSITIONS, Work, begin_company, move

REQUIREMENT = "rpyc==6.0.2"
CANNOT: dict[str, str] = {}


class Exposed(rpyc.Service):  # type: ignore[misc]
    """What clients may call."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def exposed_read(self) -> tuple[float, ...]:
        return tuple(self._device.read())

    def exposed_move(self, positions: tuple[float, ...]) -> None:
        move(list(positions))


def serve(work: Work) -> str:
    """Accept in a thread, with a thread for each client; return the port."""
    device = Device(work)
    server = ThreadedServer(Exposed(device), hostname="127.0.0.1", port=0)
    threading.Thread(target=server.start, daemon=True).start()
    while not server.active:
        time.sleep(0.01)
    begin_company(work, device.publish)
    return str(server.port)


class RpycClient:
    """A connection; the methods are looked up once, since each look-up is a request too."""

    def __init__(self, address: str, work: Work) -> None:
        self._connection = rpyc.connect("127.0.0.1", int(address))
        self._read, self._move = self._connection.root.read, self._connection.root.move
        self._command = work.command

    def request(self) -> Any:
        if not self._command:
            return self._read()
        self._move(tuple(POSITIONS))
        return True

    def close(self) -> None:
        self._connection.close()


def client(address: str, work: Work) -> RpycClient:
    """Return a client of the server on the port ``address``."""
    return RpycClient(address, work)
