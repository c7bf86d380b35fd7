"""Measures one row of the relay once: updates and bytes per second, CPU, latency."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from benchmarks.common.figures import Figures, p50_and_p99_us
from benchmarks.common.processes import Program, Server, cpu_s, python
from benchmarks.relay.broker import broker
from benchmarks.relay.rows import RelayPeer, RelayRow

_WARM_S = 1.0
_AT_LEAST_S = 3.0  # of a flood: the broker writes in bursts


@contextmanager
def _relaying(row: RelayRow) -> Iterator[tuple[Server, str, Program, Program]]:
    """A broker, the device's address, the relay, and the device, which publishes."""
    device = python("benchmarks.relay.producing", str(int(row.arrays)), str(row.per_s))
    with broker(row.sync_always) as nats, closing(Program(device)) as producing:
        address = producing.told()
        relay = python("benchmarks.relay.relaying", nats.address, address)
        with closing(Program(relay)) as relaying:
            relaying.expect_ready()
            producing.tell("")
            time.sleep(_WARM_S)
            yield nats, address, relaying, producing


def _stored(relaying: Program) -> tuple[int, int, int]:
    relaying.tell("")
    updates, size, lost = map(int, relaying.told().split())
    return updates, size, lost


def flood(peer: RelayPeer, row: RelayRow, seconds: float) -> Figures:
    """Publish as fast as the relay stores."""
    with _relaying(row) as (nats, _, relaying, _):
        before, begin = _stored(relaying), time.perf_counter()
        relay_s, nats_s = cpu_s(relaying.process), nats.cpu_s()
        time.sleep(max(seconds, _AT_LEAST_S))
        after, took = _stored(relaying), time.perf_counter() - begin
        relay_s, nats_s = cpu_s(relaying.process) - relay_s, nats.cpu_s() - nats_s
    updates, size, lost = (b - a for a, b in zip(before, after, strict=True))
    if lost or not updates:
        raise RuntimeError(f"{updates} updates stored and {lost} lost")
    return {
        "updates_per_s": updates / took,
        "mb_per_s": size / took / 1e6,
        "relay_us": 1e6 * relay_s / updates,
        "nats_us": 1e6 * nats_s / updates,
        "relay_cores": relay_s / took,
        "nats_cores": nats_s / took,
    }


def paced(peer: RelayPeer, row: RelayRow, seconds: float) -> Figures:
    """Publish so many a second, and see how late they are behind NATS and at the server."""
    with _relaying(row) as (nats, address, relaying, _):
        before, begin = _stored(relaying)[0], time.perf_counter()
        relay_s, nats_s = cpu_s(relaying.process), nats.cpu_s()
        behind = _latencies("nats", nats.address, max(seconds, _AT_LEAST_S))
        updates, took = _stored(relaying)[0] - before, time.perf_counter() - begin
        relay_s, nats_s = cpu_s(relaying.process) - relay_s, nats.cpu_s() - nats_s
        direct = _latencies("server", address, 1.0)
    p50, p99 = p50_and_p99_us(behind)
    p50_direct, _ = p50_and_p99_us(direct)
    return {
        "p50_added_ms": (p50 - p50_direct) / 1e3,
        "p50_ms": p50 / 1e3,
        "p99_ms": p99 / 1e3,
        "updates_per_s": updates / took,
        "relay_us": 1e6 * relay_s / updates,
        "nats_us": 1e6 * nats_s / updates,
    }


def _latencies(where: str, url: str, seconds: float) -> list[float]:
    with closing(Program(python("benchmarks.relay.reading", where, url, str(seconds)))) as reading:
        reading.expect_ready()
        took: list[float] = json.loads(reading.told())
    return took


KINDS: dict[str, Callable[[RelayPeer, RelayRow, float], Figures]] = {
    "flood": flood,
    "paced": paced,
}
