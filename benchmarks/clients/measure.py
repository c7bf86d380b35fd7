"""Measures one row of clients with one peer once: answers per second, latency in us, CPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

from zmq.utils import z85

from benchmarks.clients.rows import ASKING_ECHO, ClientPeer, ClientRow
from benchmarks.common.bars import OURS
from benchmarks.common.curve import SERVER_PUBLIC
from benchmarks.common.figures import Figures, p50_and_p99_us, ratio
from benchmarks.common.native import compiled, libsodium
from benchmarks.common.processes import Program, Server, python
from benchmarks.requests import rows as requests
from benchmarks.requests.servers import ECHO
from benchmarks.requests.work import Work


def asking(peer: ClientPeer, row: ClientRow, seconds: float) -> Figures:
    """Read our server, which waits asleep; or what answers with the same bytes over libzmq."""
    work = Work(curve=row.curve)
    with requests.PEERS[ECHO if peer.name == ASKING_ECHO else OURS].start(work) as server:
        told = _ask(peer, row, server, seconds)
    p50, p99 = p50_and_p99_us(told["took"])
    return {
        "per_s": told["answers"] / told["seconds"],
        "p50": p50,
        "p99": p99,
        "client_us": 1e6 * told["cpu_s"] / told["answers"],
    }


def beside_strangers(peer: ClientPeer, row: ClientRow, seconds: float) -> Figures:
    """Read our server while nobody else connects, and while many do whom it refuses."""
    with requests.PEERS[OURS].start(Work(curve=True)) as server:
        quiet = _ask(peer, row, server, seconds)
        port = server.address.rsplit(":", 1)[-1]
        key = z85.decode(SERVER_PUBLIC).hex()
        command = [compiled("strangers"), libsodium(), port, key, str(row.strangers_per_s)]
        with closing(Program(command)) as strangers:
            strangers.expect_ready()
            beside = _ask(peer, row, server, seconds)
            strangers.end_input()
            refused = json.loads(strangers.told())
    p50, p99 = p50_and_p99_us(quiet["took"])
    p50_beside, p99_beside = p50_and_p99_us(beside["took"])
    return {
        "p50": p50,
        "p99": p99,
        "p50_beside": p50_beside,
        "p99_beside": p99_beside,
        "p99_ratio": ratio(p99_beside, p99),
        "refused_per_s": refused["refused"] / refused["seconds"],
    }


def _ask(peer: ClientPeer, row: ClientRow, server: Server, seconds: float) -> Any:
    # What is compiled tells its port alone.
    address = "tcp://127.0.0.1:" + server.address.rsplit(":", 1)[-1]
    numbers = [str(row.at_once), str(seconds), str(int(row.curve))]
    command = python("benchmarks.clients.process", peer.module, address, *numbers)
    with closing(Program(command)) as program:
        program.expect_ready()
        program.tell("")
        return json.loads(program.told())


KINDS: dict[str, Callable[[ClientPeer, ClientRow, float], Figures]] = {
    "asking": asking,
    "beside_strangers": beside_strangers,
}
