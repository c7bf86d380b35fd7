"""The command line in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq
from support.machine import within

LIMIT_S = within(60)

CLI = [sys.executable, "-m", "laplace_server"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "error"}


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**environment(), "COLUMNS": "80", **(env or {})},
    )


def run_json(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    assert len(done.stdout.splitlines()) == 1
    return json.loads(done.stdout)


def failed(*arguments: str, status: int) -> str:
    """Run a command that has to fail and return its message."""
    done = run(*arguments)
    assert (done.stdout, done.returncode) == ("", status), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# -- failures


@contextmanager
def nobody() -> Iterator[str]:
    """Hold a port of this machine that takes connections and never answers."""
    context = zmq.Context()
    with context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        yield f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    context.term()


def search_path(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
