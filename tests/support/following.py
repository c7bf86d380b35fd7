"""``laplace-server stream`` as a process, read while it runs."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Callable
from typing import Any

from support.command_line import CLI, LIMIT_S, environment
from support.machine import APART

STREAM = [*CLI, "stream"]


class Following:
    """A running ``laplace-server stream``; its lines are read as they come."""

    def __init__(self, *arguments: str) -> None:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **APART}
        self.process = subprocess.Popen(
            [*STREAM, *arguments], text=True, env=environment(), **pipes
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.notices: queue.Queue[str] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.notices),
            )
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: Any, lines: queue.Queue[str]) -> None:
        for line in pipe:
            lines.put(line.rstrip("\n"))

    def line(self) -> str:
        return self.lines.get(timeout=LIMIT_S)

    def update(self) -> Any:
        return json.loads(self.line())

    def notice(self) -> str:
        return self.notices.get(timeout=LIMIT_S)

    def end(self) -> int:
        status = self.process.wait(LIMIT_S)
        for reader in self._readers:
            reader.join(LIMIT_S)
        return status

    def close(self) -> None:
        self.process.kill()
        self.end()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


Follow = Callable[..., Following]
