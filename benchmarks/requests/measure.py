"""Measures one row of one server once; each function of ``KINDS`` returns named figures."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import zmq

from benchmarks.common.figures import Figures
from benchmarks.common.processes import Program, Server, python
from benchmarks.requests.crowd import crowd, possible
from benchmarks.requests.load import Found, load, load_by_python
from benchmarks.requests.rows import RequestRow
from benchmarks.requests.servers import ECHO, RequestPeer
from benchmarks.requests.work import request_of

USUAL_S = 0.4  # where runs take at least that long, a crowd is as large as its row says


def measure_load(peer: RequestPeer, row: RequestRow, seconds: float) -> Figures:
    """Requests of N clients; latencies in microseconds."""
    seconds = max(seconds, row.least_seconds)
    with peer.start(row.work) as server:
        if not peer.speaks_zeromq:
            return asdict(load_by_python(peer.module, server, row.work, row.clients, seconds))
        return asdict(_load(peer, row, server, seconds))


def _load(peer: RequestPeer, row: RequestRow, server: Server, seconds: float) -> Found:
    return load(
        server,
        row.work,
        seconds=seconds,
        clients=row.clients,
        in_flight=row.in_flight,
        rate=row.rate,
        is_echo=peer.name == ECHO,
    )


def measure_in_process(peer: RequestPeer, row: RequestRow, seconds: float) -> Figures:
    """What a call costs inside the device program; microseconds."""
    arguments = [row.kind, str(row.work.floats), str(seconds)]
    command = python("benchmarks.requests.device_costs", *arguments)
    with closing(Program(command, peer.path)) as program:
        figures: Figures = json.loads(program.told())
    return figures


def measure_memory(peer: RequestPeer, row: RequestRow, seconds: float) -> Figures:
    """Resident memory that a connection adds, in KiB: greatest while all are connected."""
    with peer.start(row.work) as server:
        load(server, row.work, seconds=0.1, is_echo=peer.name == ECHO)
        before = greatest = server.process.memory_info().rss
        done = threading.Event()
        faults: list[BaseException] = []

        def connect_all() -> None:
            try:
                _load(peer, row, server, max(seconds, 0.5))
            except BaseException as fault:
                faults.append(fault)
            finally:
                done.set()

        loading = threading.Thread(target=connect_all)
        loading.start()
        while not done.wait(0.02):
            greatest = max(greatest, server.process.memory_info().rss)
        loading.join()
        if faults:
            raise faults[0]
        return {"kib": (greatest - before) / 1024 / row.clients}


def measure_crowd(peer: RequestPeer, row: RequestRow, seconds: float) -> Figures:
    """Memory of idle connections, in KiB, and what they do to the one that asks, in us."""
    count = possible(round(row.clients * min(1.0, seconds / USUAL_S)))
    is_echo = peer.name == ECHO
    with peer.start(row.work) as server:
        alone = load(server, row.work, seconds=seconds, is_echo=is_echo)
        before, cpu = server.process.memory_info().rss, server.cpu_s()
        with crowd(server, row.work, count) as others:
            silent, cpu = server.process.memory_info().rss, server.cpu_s() - cpu
            others.ask()
            asked = server.process.memory_info().rss
            beside = load(server, row.work, seconds=seconds, is_echo=is_echo)
        return {
            "connections": count,
            "kib": (silent - before) / 1024 / count,
            "kib_asked": (asked - before) / 1024 / count,
            "connect_us": 1e6 * cpu / count,
            "p50_alone": alone.p50,
            "p50": beside.p50,
            "p50_ratio": beside.p50 / alone.p50,
        }


def measure_idle(peer: RequestPeer, row: RequestRow, seconds: float) -> Figures:
    """Wake-ups and CPU time per second of a server whose client asks nothing."""
    with peer.start(row.work) as server, zmq.Context() as context:
        client = context.socket(zmq.REQ)
        client.linger = 0
        client.rcvtimeo = 5000
        client.connect(
            server.address if "://" in server.address else f"tcp://127.0.0.1:{server.address}"
        )
        client.send(request_of(row.work))
        client.recv()
        time.sleep(0.2)  # until it has come to rest
        wake_ups, cpu = _wake_ups(server), server.cpu_s()
        begin = time.perf_counter()
        time.sleep(max(seconds, row.least_seconds))
        took = time.perf_counter() - begin
        figures: Figures = {
            "wake_ups_per_s": (_wake_ups(server) - wake_ups) / took,
            "cpu_us_per_s": 1e6 * (server.cpu_s() - cpu) / took,
        }
        client.close()
        return figures


def _wake_ups(server: Server) -> int:
    total = 0
    for status in Path(f"/proc/{server.process.pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


KINDS: dict[str, Callable[[RequestPeer, RequestRow, float], Figures]] = {
    "load": measure_load,
    "set_data": measure_in_process,
    "turns": measure_in_process,
    "memory": measure_memory,
    "crowd": measure_crowd,
    "idle": measure_idle,
}
