"""Scripts in processes of their own: where a crash is possible, or another process is the point."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence

from support.paths import TESTS

TIMEOUT_S = 60.0


def environment(**extra: str) -> dict[str, str]:
    """The environment for a child: the folder ``support`` can be imported."""
    paths = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, "PYTHONFAULTHANDLER": "1", **extra}


def completed(
    script: str, *arguments: str, timeout_s: float = TIMEOUT_S, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a script, which must end by itself, with status 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment(**extra),
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def run_script(script: str, *arguments: str, timeout_s: float = TIMEOUT_S, **extra: str) -> str:
    """The same; what it printed."""
    return completed(script, *arguments, timeout_s=timeout_s, **extra).stdout


def aborted(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script that must not end well; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env=environment(),
    )
    assert done.returncode != 0, done.stdout
    return done


class Child:
    """A script that talks with the test by lines on its standard input and output.

    ``before`` is a command that runs the interpreter, such as ``ip netns exec``.
    """

    def __init__(self, script: str, *arguments: str, before: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", textwrap.dedent(script), *arguments],
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
