"""The package's types, as programs that use it see them: mypy beside the installed package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import laplace_server

# mypy has no compiled wheel for each machine, and uncompiled it takes its time.
pytestmark = pytest.mark.timeout(900)

HERE = Path(__file__).parent
WHERE = Path(laplace_server.__file__).parents[1]


def run_mypy(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if "site-packages" not in WHERE.parts:  # mypy does not follow an editable install by itself
        environment["MYPYPATH"] = str(WHERE)
    # In a folder without settings: `--strict` means what it means to anybody.
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_examples_have_the_promised_types(tmp_path: Path) -> None:
    done = run_mypy(tmp_path, "mypy", "--strict", str(HERE / "typing_examples.py"))

    assert done.stdout == "Success: no issues found in 1 source file\n"
    assert done.returncode == 0


def test_stubs_of_the_compiled_modules_are_true(tmp_path: Path) -> None:
    allowed = str(HERE / "stubtest_allowlist.txt")
    modules = ["laplace_server.server._core", "laplace_server.client._frames"]
    done = run_mypy(tmp_path, "mypy.stubtest", *modules, "--allowlist", allowed)

    assert done.returncode == 0, done.stdout
    assert "Success: no issues found" in done.stdout
