"""Clients that ask a server: the compiled load generator, and Python clients in processes."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.common.figures import p50_and_p99_us, percentile_us
from benchmarks.common.native import compiled
from benchmarks.common.processes import Program, Server, python
from benchmarks.requests.work import Work, request_of, values


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
    before = server.cpu_s()
    with ExitStack() as stack:
        programs = []
        for share in shares:
            text = [json.dumps(asdict(work)), server.address, str(share), str(seconds)]
            command = python("benchmarks.requests.process", "load", module, *text)
            programs.append(stack.enter_context(closing(Program(command))))
        for each in programs:
            each.expect_ready()
        for each in programs:
            each.tell("go")
        results = [json.loads(each.told(seconds + 60)) for each in programs]
    used = server.cpu_s() - before
    took = [each for result in results for each in result["took"]]
    if not took:
        raise RuntimeError("nothing was answered in time")
    total = sum(result["total"] for result in results)
    p50, p99 = p50_and_p99_us(took)
    return Found(
        per_s=len(took) / seconds,
        mean=1e6 * sum(took) / len(took),
        p50=p50,
        p99=p99,
        p999=percentile_us(took, 99.9),
        max=1e6 * max(took),
        cpu_us=None if work.busy or work.publish_hz else 1e6 * used / total,
    )
