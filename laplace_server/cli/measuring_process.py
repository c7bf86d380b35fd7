"""A measuring client in a process of its own, for ``demo``."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from laplace_server.cli.failures import fail

# Of the demo with these processes, and theirs with the servers: enough for one core in use.
PATIENCE_S = 60.0
TIMEOUT_S = 30.0


class MeasuringProcess:
    """Runs ``python -m MODULE ARGUMENTS``, which prints one JSON object.

    ``interrupted`` ends it, and the demo with it.
    """

    def __init__(self, interrupted: threading.Event, module: str, *arguments: str) -> None:
        self._interrupted = interrupted
        # Ctrl-C reaches every process of the terminal; out of its group, the client leaves the
        # message to this process, which ends it.
        own_group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        # Run from where this package is, the client finds the same one, wherever the demo was
        # started.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **own_group,
        )

    def is_running(self) -> bool:
        """Say whether it has neither ended nor is to end."""
        return self._process.poll() is None and not self._interrupted.is_set()

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def result(self, seconds: float) -> dict[str, Any]:
        """Wait for what it found, which takes about ``seconds``, or exit and say what went wrong.

        Raises:
            KeyboardInterrupt: interrupted.
        """
        deadline = time.monotonic() + seconds + PATIENCE_S
        while True:
            try:
                output, errors = self._process.communicate(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    self.end()
                    fail(f"the measuring client has not ended within {seconds + PATIENCE_S:g} s.")
                if self._interrupted.is_set():
                    self._process.kill()
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        if self._process.returncode != 0:
            fail(f"the measuring client failed: {errors.strip()}")
        found: dict[str, Any] = json.loads(output)
        return found
