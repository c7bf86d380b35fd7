"""Starts the programs of a benchmark, each a process that tells lines, and ends them."""

from __future__ import annotations

import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CHILD = str(Path(__file__).with_name("child.py"))
PATIENCE_S = 90.0


def python(module: str, *arguments: str) -> list[str]:
    """Return the command that calls ``main`` of one of our modules in a process of its own."""
    return [sys.executable, CHILD, module, *arguments]


class Program:
    """A process that tells lines; somebody reads them all the time, so that none waits for long.

    ``path`` stands first on a Python program's import path, if it is given.
    """

    def __init__(self, command: list[str], path: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": path} if path else None
        self._running = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.process = psutil.Process(self._running.pid)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def told(self, patience_s: float = PATIENCE_S) -> str:
        """Return its next line.

        Raises:
            RuntimeError: it has failed, has ended, or is silent for too long.
        """
        try:
            line = self._lines.get(timeout=patience_s)
        except queue.Empty:
            raise RuntimeError(f"silent for {patience_s:g} s") from None
        if not line:
            raise RuntimeError("a program of the benchmark has ended")
        if line.startswith('{"error"'):
            raise RuntimeError(json.loads(line)["error"])
        return line

    def expect_ready(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until it is ready.

        Raises:
            RuntimeError: it tells something else, or as ``told``.
        """
        line = self.told(patience_s)
        if line != "ready":
            raise RuntimeError(f"not ready: {line}")

    def tell(self, line: str) -> None:
        """Give it a line."""
        assert self._running.stdin is not None
        self._running.stdin.write(line + "\n")
        self._running.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input, by which it ends."""
        assert self._running.stdin is not None
        self._running.stdin.close()

    def close(self) -> None:
        """End it."""
        self._running.kill()
        self._running.wait()
        self._reader.join()
        for pipe in (self._running.stdin, self._running.stdout):
            assert pipe is not None
            pipe.close()


@dataclass(frozen=True)
class Server:
    """A server that runs in a process of its own."""

    address: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """See the function."""
        return cpu_s(self.process)


def cpu_s(process: psutil.Process) -> float:
    """CPU time that a process has used, of all its threads; Linux, to the nanosecond."""
    clock = (~process.pid << 3) | 2  # as clock_getcpuclockid makes it
    return time.clock_gettime(clock)


@contextmanager
def running(command: list[str], path: str = "") -> Iterator[Server]:
    """Run a server that tells its address; see ``Program``."""
    with closing(Program(command, path)) as program:
        yield Server(program.told(), program.process)


def allow_descriptors(count: int) -> int:
    """Let this process, and what it starts, have as many; return how many they may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return count
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return count


@contextmanager
def spinning() -> Iterator[None]:
    """Keep a core busy meanwhile, by a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
