"""Starts roles as processes that talk by lines of JSON, and ends them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

CHILD = str(Path(__file__).resolve().parent.parent / "child.py")
SLOWNESS = float(os.environ.get("LAPLACE_TEST_SLOWNESS") or 1)
"""How much more time all may take, on a machine that others use, too."""
PATIENCE_S = 60.0 * SLOWNESS
_NUMBERS = itertools.count(1)


class ProgramFault(Exception):
    """A program has ended, or is silent; the text has what it wrote to its standard error."""


class Program:
    """A role in a process of its own.

    Args:
        role: module of ``reliability.roles`` whose ``main`` it runs.
        settings: what that gets.
        folder: where settings, and what it writes to its standard error, are kept.
        python: the interpreter; another one finds its own packages only.
        before: a command that runs the interpreter, such as ``ip netns exec``.
        environment: variables that it has besides.
    """

    def __init__(
        self,
        role: str,
        settings: Mapping[str, Any],
        folder: Path,
        *,
        python: str = sys.executable,
        before: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"{role}-{next(_NUMBERS)}"
        given = folder / f"{self.name}.json"
        given.write_text(json.dumps(settings))
        self._errors = folder / f"{self.name}.err"
        variables = {**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})}
        if python != sys.executable:
            variables.pop("PYTHONPATH", None)
        with self._errors.open("w") as errors:
            self._running = subprocess.Popen(
                [*before, python, CHILD, f"reliability.roles.{role}", str(given)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=variables,
            )
        self.process = psutil.Process(self._running.pid)
        self._read = b""

    # ---- talking

    def tell(self, **line: Any) -> None:
        """Give it a line.

        Raises:
            ProgramFault: it has ended.
        """
        assert self._running.stdin is not None
        try:
            self._running.stdin.write(json.dumps(line).encode() + b"\n")
            self._running.stdin.flush()
        except BrokenPipeError:
            raise self._fault("has ended") from None

    def hear(self, patience_s: float = PATIENCE_S) -> dict[str, Any]:
        """Return its next line.

        Raises:
            ProgramFault: it has ended, or says nothing for that long.
        """
        assert self._running.stdout is not None
        descriptor = self._running.stdout.fileno()
        deadline = time.monotonic() + patience_s
        while b"\n" not in self._read:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise self._fault(f"says nothing for {patience_s:g} s")
            data = os.read(descriptor, 1 << 16)
            if not data:
                raise self._fault("has ended")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def ask(self, patience_s: float = PATIENCE_S, **line: Any) -> dict[str, Any]:
        """Give it a line and return the next of its own; see ``hear``."""
        self.tell(**line)
        return self.hear(patience_s)

    def _fault(self, what: str) -> ProgramFault:
        status = self._running.poll()
        told = f"{self.name} {what}" + ("" if status is None else f" with status {status}")
        errors = self._errors.read_text(errors="replace").strip()[-2000:]
        return ProgramFault(f"{told}: {errors}" if errors else told)

    # ---- its life

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._running.poll() is None

    def freeze(self) -> None:
        """Stop it, as a debugger or a lid does."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._running.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word, and wait until it is gone."""
        self._running.kill()
        self._running.wait()

    def ended(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until it has ended by itself.

        Raises:
            ProgramFault: it has not in that time, or with a status that is not 0.
        """
        try:
            status = self._running.wait(patience_s)
        except subprocess.TimeoutExpired:
            raise self._fault(f"has not ended within {patience_s:g} s") from None
        if status != 0:
            raise self._fault("has ended")

    def close(self) -> None:
        """End it, whatever it does."""
        if self.alive:
            self.kill()
        for pipe in (self._running.stdin, self._running.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def commands() -> Any:
    """For roles: yield the lines that this process is told, until there are no more."""
    for line in sys.stdin:
        yield json.loads(line)


def say(**line: Any) -> None:
    """For roles: answer with a line."""
    print(json.dumps(line), flush=True)
