"""Builds and runs the compiled lockstep client, and the bare echo that is the limit."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
CORE = HERE.parent / "csrc"


class Found(NamedTuple):
    """What one client saw of one server."""

    per_s: float
    p50_us: float
    p99_us: float
    max_us: float


@functools.cache
def program(name: str) -> str:
    """Compile a program of the folder ``native``; no libzmq headers are needed."""
    folder = tempfile.mkdtemp(prefix="laplace-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = str(Path(folder) / name)
    sources = [str(HERE / "native" / f"{name}.cpp"), str(CORE / "zmq_api.cpp")]
    compiler = os.environ.get("CXX", "c++")
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", f"-I{CORE}", "-o", target]
    subprocess.run([compiler, *options, *sources, "-ldl", "-pthread"], check=True)
    return target


@functools.cache
def libzmq() -> str:
    """The shared library that pyzmq has loaded here (Linux)."""
    import zmq

    del zmq
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "libzmq" in line:
            return line.split(maxsplit=5)[5]
    raise RuntimeError("pyzmq's libzmq was not found among the loaded libraries")


def lockstep(address: str, request: bytes, seconds: float) -> tuple[Found, dict[str, object]]:
    """Read in lockstep for ``seconds``; returns what was found and the reply, decoded.

    Every reply must equal the first, so the server's answer may not change meanwhile.
    """
    run = subprocess.run(
        [program("lockstep"), libzmq(), address, str(seconds)],
        input=request,
        capture_output=True,
        timeout=seconds + 30,
    )
    if run.returncode != 0:
        raise RuntimeError(run.stderr.decode())
    reply, figures = run.stdout.decode().splitlines()
    found = json.loads(figures)
    per_s = found["reads"] / found["seconds"]
    return Found(per_s, found["p50_us"], found["p99_us"], found["max_us"]), json.loads(reply)
