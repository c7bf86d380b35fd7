"""EPICS Channel Access with caproto: its asyncio server in a thread, its threading client.

A read that calls ``prepare`` and a command are the getter and the putter of a pvproperty; a write
waits until the putter has run. The address is the port, TCP and UDP.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from typing import Any

from caproto.asyncio.server import start_server  # type: ignore[import-untyped]
from caproto.server import PVGroup, pvproperty  # type: ignore[import-untyped]
from caproto.threading.client import Context  # type: ignore[import-untyped]

from benchmarks.common.programs import free_port
from benchmarks.requests.work import POSITIONS, Work, begin_company, move, prepare, values

REQUIREMENT = "caproto==1.3.0"
CANNOT: dict[str, str] = {}

PATIENCE_S = 5.0


def group_for(work: Work) -> Any:
    """Return a PVGroup with the PVs ``values`` and ``positions``."""

    class Group(PVGroup):  # type: ignore[misc]
        numbers = pvproperty(value=values(work.floats), name="values", max_length=work.floats)
        positions = pvproperty(value=POSITIONS, name="positions", max_length=len(POSITIONS))

        if work.on_get:

            @numbers.getter  # type: ignore[untyped-decorator]
            async def numbers(self, instance: Any) -> None:
                prepare()

        @positions.putter  # type: ignore[no-redef, untyped-decorator]
        async def positions(self, instance: Any, new: Any) -> None:
            move(new)

    return Group(prefix="")


def serve(work: Work) -> str:
    """Run the server's event loop in a thread; return the port."""
    port = free_port()
    os.environ["EPICS_CA_SERVER_PORT"] = str(port)
    os.environ["EPICS_CAS_AUTO_BEACON_ADDR_LIST"] = "NO"
    os.environ["EPICS_CAS_BEACON_ADDR_LIST"] = ""
    group, loop, started = group_for(work), asyncio.new_event_loop(), threading.Event()

    async def tell(async_lib: Any) -> None:
        started.set()

    def run() -> None:
        loop.run_until_complete(
            start_server(group.pvdb, interfaces=["127.0.0.1"], startup_hook=tell)
        )

    def publish(new: list[float]) -> None:
        asyncio.run_coroutine_threadsafe(group.numbers.write(new), loop).result()

    threading.Thread(target=run, daemon=True).start()
    if not started.wait(PATIENCE_S):
        raise TimeoutError("the server has not started")
    begin_company(work, publish)
    return str(port)


@functools.cache
def context() -> Context:
    return Context()


class CaClient:
    """One user of the process's Context; one Context for each is slower."""

    def __init__(self, context: Context, work: Work) -> None:
        (self._pv,) = context.get_pvs("positions" if work.command else "values")
        self._pv.wait_for_connection(timeout=PATIENCE_S)
        self._command = work.command

    def request(self) -> Any:
        if not self._command:
            return self._pv.read(timeout=PATIENCE_S).data
        self._pv.write(POSITIONS, wait=True, timeout=PATIENCE_S)
        return True

    def close(self) -> None:
        pass


def client(address: str, work: Work) -> CaClient:
    """Return a client of the server on the port ``address``, one server for each process."""
    os.environ["EPICS_CA_SERVER_PORT"] = address
    os.environ["EPICS_CA_ADDR_LIST"] = "127.0.0.1"
    os.environ["EPICS_CA_AUTO_ADDR_LIST"] = "NO"
    with _making:
        return CaClient(context(), work)


_making = threading.Lock()
