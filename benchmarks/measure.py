"""Measures one row of one peer once; each function of ``KINDS`` returns named figures."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import programs
import zmq
from programs import Server
from rows import ECHO, ORIGINAL, Peer, Row, original_path

Figures = dict[str, float | None]


def measure_load(peer: Peer, row: Row, seconds: float) -> Figures:
    """Requests of N clients; latencies in microseconds."""
    seconds = max(seconds, row.least_seconds)
    with peer.start(row.work) as server:
        if not peer.speaks_zeromq:
            return asdict(
                programs.load_by_python(peer.module, server, row.work, row.clients, seconds)
            )
        return asdict(_load(peer, row, server, seconds))


def _load(peer: Peer, row: Row, server: Server, seconds: float) -> programs.Found:
    return programs.load(
        server,
        row.work,
        seconds=seconds,
        clients=row.clients,
        in_flight=row.in_flight,
        rate=row.rate,
        is_echo=peer.name == ECHO,
    )


def measure_in_process(peer: Peer, row: Row, seconds: float) -> Figures:
    """What a call costs inside the device program; microseconds."""
    program = str(Path(__file__).with_name("device_costs.py"))
    environment = programs.environment(str(original_path()) if peer.name == ORIGINAL else "")
    command = [sys.executable, program, row.kind, str(row.work.floats), str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    figures: Figures = json.loads(done.stdout)
    return figures


def measure_memory(peer: Peer, row: Row, seconds: float) -> Figures:
    """Resident memory that a connection adds, in KiB: greatest while all are connected."""
    with peer.start(row.work) as server:
        one = programs.load(server, row.work, seconds=0.1, is_echo=peer.name == ECHO)
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
        assert one.per_s > 0
        return {"kib": (greatest - before) / 1024 / row.clients}


def measure_idle(peer: Peer, row: Row, seconds: float) -> Figures:
    """Wake-ups and CPU time per second of a server whose client asks nothing."""
    with peer.start(row.work) as server, zmq.Context() as context:
        client = context.socket(zmq.REQ)
        client.linger = 0
        client.rcvtimeo = 5000
        client.connect(
            server.address if "://" in server.address else f"tcp://127.0.0.1:{server.address}"
        )
        client.send(programs.request_of(row.work))
        client.recv()
        time.sleep(0.2)  # until it has come to rest
        wake_ups, cpu = _wake_ups(server), server.cpu_s()
        begin = time.perf_counter()
        time.sleep(max(seconds, 1.0))
        took = time.perf_counter() - begin
        figures: Figures = {
            "wake_ups_per_s": (_wake_ups(server) - wake_ups) / took,
            "cpu_ms_per_s": 1e3 * (server.cpu_s() - cpu) / took,
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


KINDS: dict[str, Callable[[Peer, Row, float], Figures]] = {
    "load": measure_load,
    "set_data": measure_in_process,
    "turns": measure_in_process,
    "memory": measure_memory,
    "idle": measure_idle,
}
