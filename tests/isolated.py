"""Scripts in processes of their own: where a crash is possible, or another process is the point."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

TIMEOUT_S = 60.0


def environment(**extra: str) -> dict[str, str]:
    """The environment for a child: the helpers of this folder can be imported."""
    folder = str(Path(__file__).parent)
    return {**os.environ, "PYTHONPATH": folder, "PYTHONFAULTHANDLER": "1", **extra}


def run_script(script: str, *arguments: str, timeout_s: float = TIMEOUT_S, **extra: str) -> str:
    """Run a script and return what it printed; it must end by itself, with status 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment(**extra),
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Child:
    """A script that talks with the test by lines on its standard input and output."""

    def __init__(self, script: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the child ended with status {self.process.wait()}"
        return line.strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
