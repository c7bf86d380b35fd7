"""Programs of C++ sources, each of which is compiled once for all tests and their processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.paths import CHECKOUT, TESTS

NATIVE = TESTS / "native"
CORE = CHECKOUT / "csrc"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-fsanitize=thread"]
COMPILE = ["-std=c++17", f"-I{CORE}", f"-I{TESTS}", f"-I{NATIVE}", "-g1", "-pthread"]
LIBRARIES = {"linux": ["-ldl"], "win32": ["-liphlpapi", "-lws2_32"]}
LINK = ["-pthread", *LIBRARIES.get(sys.platform, [])]
# What programs are run under, and how many times as long they may take (tests/native/memcheck.py).
UNDER = os.environ.get("LAPLACE_TEST_UNDER", "").split()
TIMES = 5 if UNDER else 1


def compiler() -> list[str]:
    """The C++ compiler's command, as in `CXX="ccache g++"`; skips the test without one."""
    chosen = os.environ.get("CXX", "").split()
    for command in (chosen, ["c++"], ["g++"], ["clang++"]):
        if command and shutil.which(command[0]):
            return command
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100 * TIMES)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_program(program: Path, *arguments: str | Path) -> str:
    """What a program of ours prints; it must end with 0."""
    return run(*UNDER, program, *arguments)


class Builder:
    """Builds programs; the objects that they are linked of are kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(self, program: Path, sources: Sequence[Path], *flags: str) -> None:
        objects = [str(self._object(source, flags)) for source in sources]
        run(*compiler(), *flags, *objects, *LINK, "-o", program)

    def checking(self) -> list[str]:
        """Flags of a program that looks for faults of its own.

        With sanitizers where there are any; not under another tool, which looks by itself.
        """
        return [*WARNINGS, *(SANITIZERS if not UNDER and self._has(SANITIZERS) else [])]

    def require(self, sanitizers: Sequence[str]) -> None:
        """Skips the test where a program with these cannot be built or does not start."""
        if not self._has(sanitizers):
            pytest.skip(f"this compiler has no {sanitizers[0]}")

    def _has(self, sanitizers: Sequence[str]) -> bool:
        answer = self._folder / f"have{sanitizers[0]}"
        with self._locked(answer):
            if not answer.exists():
                answer.write_text("yes" if self._starts(answer, sanitizers) else "no")
        return answer.read_text() == "yes"

    def _starts(self, name: Path, sanitizers: Sequence[str]) -> bool:
        source, program = name.with_suffix(".cpp"), name.with_suffix(".program")
        source.write_text("int main() { return 0; }\n")
        commands = [*compiler(), *sanitizers, str(source), "-o", str(program)], [str(program)]
        return all(subprocess.run(each, capture_output=True).returncode == 0 for each in commands)

    def _object(self, source: Path, flags: Sequence[str]) -> Path:
        of = hashlib.sha256("\0".join([str(source), *flags]).encode()).hexdigest()[:16]
        made = self._folder / f"{source.stem}-{of}.o"
        with self._locked(made):
            if not made.exists():
                half = made.with_suffix(".half")
                # The tests' own code would take longer to optimize than it then takes to run.
                level = "-O1" if CORE in source.parents else "-O0"
                run(*compiler(), *COMPILE, level, *flags, "-c", source, "-o", half)
                half.rename(made)
        return made

    @contextlib.contextmanager
    def _locked(self, what: Path) -> Iterator[None]:
        """One process at a time makes a thing; the others wait and use it."""
        with what.with_suffix(".lock").open("w") as lock:
            with contextlib.suppress(ImportError):  # on Windows: each makes it, the last one stays
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
