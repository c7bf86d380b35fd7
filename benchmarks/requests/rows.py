"""What is measured of requests: the peers, and the rows of work they are all given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.common.bars import OURS
from benchmarks.common.suite import Row
from benchmarks.requests.servers import ECHO, ORIGINAL, RAW, RequestPeer
from benchmarks.requests.work import Work

OVER_LIBZMQ, SPINNING = "laplace-server, libzmq", "laplace-server, spinning"
PYZMQ = "pyzmq, orjson"

PEERS = {
    peer.name: peer
    for peer in (
        RequestPeer(OURS, "laplace", "#c1440e", speaks_zeromq=True),
        RequestPeer(OVER_LIBZMQ, "laplace_libzmq", speaks_zeromq=True),
        RequestPeer(SPINNING, "laplace_spinning", speaks_zeromq=True),
        RequestPeer(ORIGINAL, "laplace", "#4c78a8", speaks_zeromq=True),
        RequestPeer(RAW, "", "#555555", "plain TCP", speaks_zeromq=True),
        RequestPeer(ECHO, "", "#999999", speaks_zeromq=True),
        RequestPeer(PYZMQ, "pyzmq_orjson", speaks_zeromq=True),
        RequestPeer("pyzmq, json", "pyzmq_json", speaks_zeromq=True),
        RequestPeer("p4p", "pvaccess_p4p"),
        RequestPeer("pvapy", "pvaccess_pvapy"),
        RequestPeer("caproto", "caproto_ca"),
        RequestPeer("Pyro5", "pyro"),
        RequestPeer("rpyc", "rpyc_service"),
        RequestPeer("grpcio", "grpc_doubles"),
    )
}
VARIANTS = (OVER_LIBZMQ, SPINNING)  # ours, with other settings
ALL = tuple(name for name in PEERS if name not in VARIANTS)
ZEROMQ = tuple(name for name in ALL if PEERS[name].speaks_zeromq)
LIMITS = (OURS, ORIGINAL, RAW, ECHO)
GROWTH = (*LIMITS, PYZMQ)
LAPLACE = (OURS, ORIGINAL)

READ = Work()


@dataclass(frozen=True)
class RequestRow(Row):
    """Work, by how many clients, for which servers."""

    work: Work = READ
    kind: str = "load"
    peers: tuple[str, ...] = ALL
    clients: int = 1
    in_flight: int = 1
    rate: float = 0.0
    """Requests per second, all clients together; 0: as fast as answers come."""
    least_seconds: float = 0.0


def _with_variants(peers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in PEERS if name in peers or name in VARIANTS)


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


def _reads() -> Iterator[RequestRow]:
    for floats in (2, 2000):
        for clients in (1, 8, 64, 512):
            peers = ALL if clients < 512 else ZEROMQ
            yield RequestRow(
                f"read{floats}x{clients}",
                f"GET of {floats:,} floats, {_clients(clients)}",
                Work(floats=floats),
                peers=_with_variants(peers) if floats == 2 else peers,
                short=(floats, clients) in {(2, 1), (2, 8), (2000, 1)},
                clients=clients,
            )


def _by_clients(
    key: str, title: str, work: Work, peers: tuple[str, ...] = ALL, *, short: bool = False
) -> Iterator[RequestRow]:
    for clients in (1, 8):
        yield RequestRow(
            f"{key}x{clients}",
            f"{title}, {_clients(clients)}",
            work,
            peers=peers,
            short=short and clients == 1,
            clients=clients,
        )


def _growing(key: str, title: str, work: Work) -> RequestRow:
    return RequestRow(key, title, work, peers=GROWTH)


ROWS = [
    *_reads(),
    RequestRow(
        "pipelined",
        "GET of 2 floats, 4 x 64 in flight",
        peers=_with_variants(ZEROMQ),
        clients=4,
        in_flight=64,
    ),
    *_by_clients(
        "busy", "GET beside a computing thread", Work(busy=True), _with_variants(ALL), short=True
    ),
    *_by_clients("published", "GET beside set_data at 1 kHz", Work(publish_hz=1000)),
    *_by_clients(
        "command", "SET with a callback", Work(command=True), _with_variants(ALL), short=True
    ),
    *_by_clients("on_get", "GET with on_get", Work(on_get=True)),
    *_by_clients("live", "GET of live data", Work(live=True), LAPLACE, short=True),
    *_by_clients(
        "live_busy",
        "GET of live data beside a computing thread",
        Work(live=True, busy=True),
        LAPLACE,
        short=True,
    ),
    RequestRow("pause", "first GET after 50 ms", peers=ZEROMQ, rate=20, least_seconds=2.0),
    RequestRow("open", "2,000 GET/s, open loop, 8 clients", peers=ZEROMQ, clients=8, rate=2000),
    RequestRow(
        "open_busy",
        "2,000 GET/s beside a computing thread, open loop, 8 clients",
        Work(busy=True),
        peers=LIMITS,
        clients=8,
        rate=2000,
    ),
    *(
        _growing(f"floats{n}", f"GET of {n:,} floats, 1 client", Work(floats=n))
        for n in (20, 200, 20_000, 200_000)
    ),
    *(
        _growing(f"pad{n}", f"GET, {n:,} bytes in the request", Work(pad=n))
        for n in (100, 1000, 10_000, 100_000, 1_000_000)
    ),
    *(
        RequestRow(
            f"{kind}{floats}",
            f"{title} of {floats:,} floats",
            Work(floats=floats),
            kind,
            peers=LAPLACE,
        )
        for kind, title in (("set_data", "set_data"), ("turns", "set_data and a GET in turn"))
        for floats in (2, 2000)
    ),
    RequestRow("memory", "memory of a connection", peers=ZEROMQ, clients=512, kind="memory"),
    RequestRow(
        "crowd",
        "10,000 idle connections",
        peers=_with_variants(LIMITS),
        clients=10_000,
        kind="crowd",
    ),
    RequestRow(
        "idle",
        "idle server with one client",
        peers=_with_variants(LIMITS),
        kind="idle",
        least_seconds=3.0,
    ),
]
