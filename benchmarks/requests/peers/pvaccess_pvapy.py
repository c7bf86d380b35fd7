"""EPICS pvAccess with pvapy: a PvaServer with a PvObject, read with Channel.get.

Its put completes before the Python callback has run, and its records have no hook for reads, so
commands and ``on_get`` go the other way pvapy offers, an RpcServer. The address: TCP and UDP port.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import pvaccess  # type: ignore[import-untyped]

from benchmarks.common.programs import free_port
from benchmarks.requests.peers.device import Device
from benchmarks.requests.work import POSITIONS, Work, begin_company, move, values

REQUIREMENT = "pvapy==5.6.0"
CANNOT: dict[str, str] = {}

PATIENCE_S = 5.0


def serve(work: Work) -> str:
    """Serve the PV ``values``, or the service ``call``, from pvapy's own threads."""
    server, broadcast = free_port(), free_port()
    # This library is configured through the environment alone.
    os.environ["EPICS_PVA_SERVER_PORT"] = str(server)
    os.environ["EPICS_PVA_BROADCAST_PORT"] = str(broadcast)
    os.environ["EPICS_PVAS_INTF_ADDR_LIST"] = "127.0.0.1"
    os.environ["EPICS_PVAS_AUTO_BEACON_ADDR_LIST"] = "NO"
    global _server
    if work.command or work.on_get:
        device = Device(work)

        def carry_out(argument: Any) -> Any:
            move(argument["value"])
            return numbers([])

        _server = pvaccess.RpcServer()
        answer = carry_out if work.command else lambda argument: numbers(device.read())
        _server.registerService("call", answer)
        _server.startListener()
        begin_company(work, device.publish)
    else:
        _server = pvaccess.PvaServer("values", numbers(values(work.floats)))
        begin_company(work, lambda new: _server.update("values", numbers(new)))
    return f"{server}:{broadcast}"


_server: Any = None  # runs as long as it is referenced


def numbers(these: list[float]) -> Any:
    return pvaccess.PvObject({"value": [pvaccess.DOUBLE]}, {"value": these})


class Reader:
    """A Channel; those of one process share a connection, pvapy has no other way."""

    def __init__(self) -> None:
        self._channel = pvaccess.Channel("values")
        self._channel.setTimeout(PATIENCE_S)

    def request(self) -> Any:
        return self._channel.get()["value"]

    def close(self) -> None:
        pass


class Caller:
    """An RpcClient."""

    def __init__(self, work: Work) -> None:
        self._client = pvaccess.RpcClient("call")
        self._command = work.command

    def request(self) -> Any:
        if not self._command:
            return self._client.invoke(numbers([]), PATIENCE_S)["value"]
        self._client.invoke(numbers(POSITIONS), PATIENCE_S)
        return True

    def close(self) -> None:
        pass


def client(address: str, work: Work) -> Reader | Caller:
    """Return a client for the server at ``address``, one server for each process."""
    server, broadcast = address.split(":")
    os.environ["EPICS_PVA_SERVER_PORT"] = server
    os.environ["EPICS_PVA_BROADCAST_PORT"] = broadcast
    os.environ["EPICS_PVA_ADDR_LIST"] = "127.0.0.1"
    os.environ["EPICS_PVA_AUTO_ADDR_LIST"] = "NO"
    # Connecting from two threads at once ends the process.
    with _connecting:
        made = Caller(work) if work.command or work.on_get else Reader()
        made.request()
        return made


_connecting = threading.Lock()
