"""What is measured: the peers, and the rows of work they are all given."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import programs
from peers.work import Work

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from original import original_path

OURS, ORIGINAL, ECHO = "laplace-server", "0.2.0", "echo"


@dataclass(frozen=True)
class Peer:
    """A server to compare."""

    name: str
    module: str = ""
    speaks_zeromq: bool = False

    def start(self, work: Work) -> Any:
        """Return a context manager that runs the server."""
        if self.name == ECHO:
            return programs.echo(work)
        path = str(original_path()) if self.name == ORIGINAL else ""
        return programs.python_server(self.module, work, path)

    def why_not(self, work: Work) -> str:
        """Why this peer cannot do the work; empty if it can."""
        if not self.module:
            return ""
        try:
            module = importlib.import_module(f"peers.{self.module}")
        except ImportError as error:
            return f"not installed here: {error}"
        for what, reason in module.CANNOT.items():
            if getattr(work, what):
                return str(reason)
        return ""

    def version(self) -> str:
        """Version of what is measured."""
        if self.name == ECHO:
            return "libzmq of pyzmq " + importlib.metadata.version("pyzmq")
        if self.name == OURS:
            return importlib.metadata.version("laplace-server")
        if self.name == ORIGINAL:
            return ORIGINAL
        try:
            return str(importlib.import_module(f"peers.{self.module}").REQUIREMENT)
        except ImportError:
            return "not installed"


PEERS = {
    peer.name: peer
    for peer in (
        Peer(OURS, "laplace", True),
        Peer(ORIGINAL, "laplace", True),
        Peer(ECHO, "", True),
        Peer("pyzmq, orjson", "pyzmq_orjson", True),
        Peer("pyzmq, json", "pyzmq_json", True),
        Peer("p4p", "pvaccess_p4p"),
        Peer("pvapy", "pvaccess_pvapy"),
        Peer("caproto", "caproto_ca"),
        Peer("Pyro5", "pyro"),
        Peer("rpyc", "rpyc_service"),
        Peer("grpcio", "grpc_doubles"),
    )
}
ALL = tuple(PEERS)
ZEROMQ = tuple(name for name, peer in PEERS.items() if peer.speaks_zeromq)
LIMITS = (OURS, ORIGINAL, ECHO)
GROWTH = (OURS, ORIGINAL, ECHO, "pyzmq, orjson")
LAPLACE = (OURS, ORIGINAL)


READ = Work()


@dataclass(frozen=True)
class Row:
    """Work, by how many clients, for which peers."""

    key: str
    title: str
    work: Work = READ
    peers: tuple[str, ...] = ALL
    clients: int = 1
    in_flight: int = 1
    rate: float = 0.0
    """Requests per second, all clients together; 0: as fast as answers come."""
    kind: str = "load"
    """Which function of ``measure.py`` does it."""
    least_seconds: float = 0.0
    short: bool = False
    """Whether it is also in the short run."""
    short_peers: ClassVar = (OURS, ORIGINAL, ECHO)

    def only(self, peers: Iterable[str]) -> Row:
        """Return the row for these peers alone."""
        return replace(self, peers=tuple(name for name in self.peers if name in peers))


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _reads() -> list[Row]:
    rows = []
    for floats in (2, 2000):
        for clients in (1, 8, 64, 512):
            title = f"read of {floats:,} floats, {_clients(clients)}"
            peers = ALL if clients < 512 else ZEROMQ
            short = (floats, clients) in {(2, 1), (2, 8), (2000, 1)}
            key = f"read{floats}x{clients}"
            rows.append(Row(key, title, Work(floats=floats), peers, clients, short=short))
    return rows


def _by_clients(key: str, title: str, work: Work, peers: tuple[str, ...], short: bool) -> list[Row]:
    return [
        Row(f"{key}x{n}", f"{title}, {_clients(n)}", work, peers, n, short=short and n == 1)
        for n in (1, 8)
    ]


ROWS = [
    *_reads(),
    Row("pipelined", "read of 2 floats, 4 x 64 in flight", peers=ZEROMQ, clients=4, in_flight=64),
    *_by_clients("busy", "read beside a computing thread", Work(busy=True), ALL, True),
    *_by_clients("published", "read beside set_data at 1 kHz", Work(publish_hz=1000), ALL, False),
    *_by_clients("command", "command with a callback", Work(command=True), ALL, True),
    *_by_clients("on_get", "read with on_get", Work(on_get=True), ALL, False),
    *_by_clients("live", "read of live data", Work(live=True), LAPLACE, True),
    *_by_clients(
        "live_busy",
        "read of live data beside a computing thread",
        Work(live=True, busy=True),
        LAPLACE,
        True,
    ),
    Row("pause", "first read after 50 ms", peers=ZEROMQ, rate=20, least_seconds=2.0),
    Row("open", "2,000 reads/s, open loop, 8 clients", peers=ZEROMQ, clients=8, rate=2000),
    Row(
        "open_busy",
        "2,000 reads/s beside a computing thread, open loop, 8 clients",
        Work(busy=True),
        LIMITS,
        8,
        rate=2000,
    ),
    *(
        Row(f"floats{floats}", f"read of {floats:,} floats, 1 client", Work(floats=floats), GROWTH)
        for floats in (20, 200, 20_000, 200_000)
    ),
    *(
        Row(f"pad{pad}", f"read, {pad:,} bytes in the request", Work(pad=pad), GROWTH)
        for pad in (100, 1000, 10_000, 100_000, 1_000_000)
    ),
    *(
        Row(
            f"{kind}{floats}",
            f"{title} of {floats:,} floats",
            Work(floats=floats),
            LAPLACE,
            kind=kind,
        )
        for kind, title in (("set_data", "set_data"), ("turns", "set_data and a read in turn"))
        for floats in (2, 2000)
    ),
    Row("memory", "memory of a connection", peers=ZEROMQ, clients=512, kind="memory"),
    Row("idle", "idle server with one client", peers=LIMITS, kind="idle"),
]
