"""EPICS pvAccess with p4p: a SharedPV of NTScalar 'ad', read through the Context of the process.

A command is a put, complete when its handler has run ``move``. A PV has no hook for reads; an
``on_get`` read is p4p's other way, an RPC on the PV.
"""

from __future__ import annotations

import threading
from typing import Any

from p4p import Value  # type: ignore[import-untyped]
from p4p.nt import NTURI, NTScalar  # type: ignore[import-untyped]
from p4p.server.thread import SharedPV  # type: ignore[import-untyped]

from benchmarks.common import pvaccess
from benchmarks.requests.work import POSITIONS, Work, begin_company, move, prepare, values

REQUIREMENT = pvaccess.REQUIREMENT
CANNOT: dict[str, str] = {}

TYPE = NTScalar("ad")
CALL = NTURI([])


def serve(work: Work) -> str:
    """Serve the PVs ``values`` and ``positions`` from p4p's own threads; return the ports."""
    readable = SharedPV(nt=TYPE, initial=values(work.floats))
    writable = SharedPV(nt=TYPE, initial=POSITIONS)

    @readable.rpc  # type: ignore[untyped-decorator]
    def on_rpc(pv: Any, operation: Any) -> None:
        prepare()
        operation.done(TYPE.wrap(pv.current()))

    @writable.put  # type: ignore[untyped-decorator]
    def on_put(pv: Any, operation: Any) -> None:
        move(operation.value())
        operation.done()

    global _server
    _server, address = pvaccess.serve({"values": readable, "positions": writable})
    begin_company(work, readable.post)
    return address


_server: Any = None  # runs as long as it is referenced


class PvClient:
    """One user of the process's Context; one Context for each is slower from eight threads on."""

    def __init__(self, context: Any, work: Work) -> None:
        self._context = context
        self._call: Value = CALL.wrap("values", {})
        self.request = self.move if work.command else self.call if work.on_get else self.read

    def read(self) -> Any:
        return self._context.get("values")

    def call(self) -> Any:
        return self._context.rpc("values", self._call)

    def move(self) -> bool:
        self._context.put("positions", POSITIONS, get=False)
        return True

    def close(self) -> None:
        pass


def client(address: str, work: Work) -> PvClient:
    """Return a client for the server at ``address``."""
    with _making:
        return PvClient(pvaccess.context(address), work)


_making = threading.Lock()
