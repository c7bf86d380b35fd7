"""Compiles and starts the programs of a benchmark: servers, the load generator, Python clients."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from peers.work import POSITIONS, Work, values

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "csrc"
SPIN = "while True: pass"


@functools.cache
def compiled(name: str) -> str:
    """Compile a program of the folder ``native`` and return its path; no libzmq headers needed."""
    folder = tempfile.mkdtemp(prefix="laplace-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = str(Path(folder) / name)
    sources = [str(HERE / "native" / f"{name}.cpp"), str(CORE / "zmq_api.cpp")]
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", f"-I{CORE}", "-o", target]
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, *options, *sources, "-ldl", "-pthread"], check=True)
    return target


@functools.cache
def libzmq() -> str:
    """Path of the shared library that pyzmq has loaded here (Linux)."""
    import zmq

    del zmq
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "libzmq" in line:
            return line.split(maxsplit=5)[5]
    raise RuntimeError("pyzmq's libzmq was not found among the loaded libraries")


@dataclass(frozen=True)
class Server:
    """A server that runs in a process of its own."""

    address: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """CPU time the process has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def environment(path: str) -> dict[str, str]:
    """Environment of a Python program with ``path`` first on its import path, if there is one."""
    return {**os.environ, "PYTHONPATH": path} if path else dict(os.environ)


@contextmanager
def running(*command: str, path: str = "") -> Iterator[Server]:
    """Run a server that prints its address and ends with its standard input."""
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(path)
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        address = server.stdout.readline().strip()
        if not address:
            raise RuntimeError("the server did not start")
        yield Server(address, psutil.Process(server.pid))
    finally:
        server.stdin.close()
        try:
            server.wait(10)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()


@contextmanager
def echo(work: Work) -> Iterator[Server]:
    """Run the bare echo: replies of the size a read has, a spinning process for company if busy."""
    body = {"from": "device", "to": "bench", "cmd": "GET", "msg": "Current data."}
    payload = {"data": {"values": values(work.floats)}}
    reply = {**body, "payload": payload, "version": "0.2.2", "error_msg": None}
    size = 0 if work.command else len(json.dumps(reply, separators=(",", ":")))
    with ExitStack() as stack:
        if work.busy:
            spinning = subprocess.Popen([sys.executable, "-c", SPIN])
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield stack.enter_context(running(compiled("echo"), libzmq(), str(size)))


def python_server(module: str, work: Work, path: str = "") -> Any:
    """Run a module of ``peers``; ``path`` is put first on the import path."""
    program = str(HERE / "peer.py")
    return running(sys.executable, program, "serve", module, json.dumps(asdict(work)), path=path)


@dataclass(frozen=True)
class Found:
    """What the clients of one run saw; latencies in microseconds, ``cpu_us`` of the server."""

    per_s: float
    mean: float
    p50: float
    p99: float
    p999: float
    max: float
    cpu_us: float | None = None
    unanswered: int = 0


def request_of(work: Work) -> bytes:
    """The request in the protocol of laplace-server."""
    command = "SET" if work.command else "GET"
    payload: dict[str, Any] = {"positions": POSITIONS} if work.command else {}
    if work.pad:
        payload["pad"] = "x" * work.pad
    fields = {"from": "bench", "to": "device", "cmd": command, "payload": payload}
    return json.dumps({**fields, "version": "0.2.2", "error_msg": None, "msg": None}).encode()


def load(
    server: Server,
    work: Work,
    *,
    seconds: float,
    clients: int = 1,
    in_flight: int = 1,
    rate: float = 0.0,
    is_echo: bool = False,
) -> Found:
    """Let the compiled load generator ask a server that speaks laplace-server's protocol.

    Raises:
        RuntimeError: a wrong reply, or none; the text says which.
    """
    port = server.address.rsplit(":", 1)[-1]
    check = "like" if work.publish_hz and not is_echo else "same"
    numbers = [port, str(clients), str(in_flight), str(seconds), str(rate)]
    before = server.cpu_s()
    done = subprocess.run(
        [compiled("load"), *numbers, check],
        input=request_of(work),
        capture_output=True,
        timeout=seconds + 120,
    )
    used = server.cpu_s() - before
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode().strip())
    text, figures = done.stdout.decode().splitlines()
    if not is_echo:
        check_reply(json.loads(text), work)
    seen = json.loads(figures)
    return Found(
        per_s=seen["replies"] / seen["seconds"],
        mean=seen["mean_us"],
        p50=seen["p50_us"],
        p99=seen["p99_us"],
        p999=seen["p999_us"],
        max=seen["max_us"],
        cpu_us=None if work.busy or work.publish_hz else 1e6 * used / seen["total"],
        unanswered=seen["unanswered"],
    )


def check_reply(reply: dict[str, Any], work: Work) -> None:
    """Raise RuntimeError unless the reply is what the work asks for."""
    if work.command:
        right = reply["error_msg"] is None and reply["cmd"] == "SET"
    else:
        turns = range(8 if work.publish_hz else 1)
        got = reply["payload"].get("data", {}).get("values")
        right = reply["error_msg"] is None and got in [values(work.floats, n) for n in turns]
    if not right:
        raise RuntimeError(f"a wrong reply: {str(reply)[:300]}")


def load_by_python(module: str, server: Server, work: Work, clients: int, seconds: float) -> Found:
    """Let Python clients ask, one per thread, in at most four processes.

    Raises:
        RuntimeError: a client failed or got a wrong answer.
    """
    processes = min(clients, 4)
    shares = [clients // processes + (n < clients % processes) for n in range(processes)]
    command = [sys.executable, str(HERE / "peer.py"), "load", module, json.dumps(asdict(work))]
    before = server.cpu_s()
    running_clients = [
        subprocess.Popen(
            [*command, server.address, str(share), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
    ]
    try:
        for each in running_clients:
            assert each.stdout is not None
            if each.stdout.readline().strip() != "ready":
                raise RuntimeError("a client did not get a right first answer")
        for each in running_clients:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        results = [
            json.loads(each.communicate(timeout=seconds + 60)[0]) for each in running_clients
        ]
    finally:
        for each in running_clients:
            each.kill()
            each.communicate()
    used = server.cpu_s() - before
    took = sorted(us for result in results for us in result["took_us"])
    if not took:
        raise RuntimeError("nothing was answered in time")
    total = sum(result["total"] for result in results)

    def at(quantile: float) -> float:
        return float(took[min(len(took) - 1, int(quantile * len(took)))])

    return Found(
        per_s=len(took) / seconds,
        mean=sum(took) / len(took),
        p50=at(0.5),
        p99=at(0.99),
        p999=at(0.999),
        max=took[-1],
        cpu_us=None if work.busy or work.publish_hz else 1e6 * used / total,
    )
