"""Examples as processes, read while they run."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support.paths import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
PATIENCE_S = 30.0


class Example:
    """A running example; what it prints is read as it comes."""

    def __init__(self, file: str, *args: str, folder: Path) -> None:
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONWARNINGS": "error"}
        # Unbuffered, print() writes in pieces, and a line of the log gets between them.
        environment.pop("PYTHONUNBUFFERED", None)
        self.printed: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / file), *args],
            cwd=folder,  # not the checkout: the installed package is tested
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def wait_for(self, wanted: str) -> str:
        """The next printed line that holds `wanted`."""
        deadline = time.monotonic() + PATIENCE_S
        while (line := self._next_line(deadline)) is not None:
            if wanted in line:
                return line
        raise AssertionError(f"ended without {wanted!r}: {self.printed}")

    def _next_line(self, deadline: float) -> str | None:
        try:
            line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise AssertionError(f"still running after {self.printed}") from None
        if line is not None:
            self.printed.append(line)
        return line

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def end(self) -> int:
        """The exit status of an example that is about to end by itself."""
        deadline = time.monotonic() + PATIENCE_S
        while self._next_line(deadline) is not None:
            pass
        return self._process.wait(PATIENCE_S)

    def clean_up(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


Run = Callable[..., Example]


def port_of(example: Example) -> str:
    return example.wait_for("listening on port").rsplit(" ", 1)[1]
