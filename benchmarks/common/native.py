"""Compiles the programs of the folder ``native``."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
CORE = BENCHMARKS.parent / "csrc"


@functools.cache
def compiled(name: str) -> str:
    """Compile a program and return its path; no libzmq headers needed."""
    folder = tempfile.mkdtemp(prefix="laplace-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = str(Path(folder) / name)
    folders = (CORE / "crypto", CORE / "zmtp")
    parts = [path for folder in folders for path in sorted(folder.glob("*.cpp"))]
    parts.append(CORE / "transport" / "zmq_api.cpp")
    sources = [str(BENCHMARKS / "native" / f"{name}.cpp"), *map(str, parts)]
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", f"-I{CORE}", "-o", target]
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, *options, *sources, "-ldl", "-pthread"], check=True)
    return target


@functools.cache
def libzmq() -> str:
    """Path of the shared library that pyzmq has loaded here (Linux)."""
    return _loaded_with_pyzmq("libzmq")


@functools.cache
def libsodium() -> str:
    """Path of the libsodium that pyzmq's libzmq has loaded here (Linux)."""
    return _loaded_with_pyzmq("libsodium")


def _loaded_with_pyzmq(name: str) -> str:
    import zmq

    del zmq
    for line in Path("/proc/self/maps").read_text().splitlines():
        if name in line:
            return line.split(maxsplit=5)[5]
    raise RuntimeError(f"pyzmq's {name} was not found among the loaded libraries")
