"""Counts the instructions of an envelope's scan and of native GETs; a guard that times nothing.

    python benchmarks/instructions.py           compare with the stored figures; status 1 if above
    python benchmarks/instructions.py --store   store today's

The system's calls for sockets are replaced, so only the core's own work is counted: the loop with
its own transport. Valgrind's callgrind counts, or `perf stat` where the machine lets it; with
neither, the status is 77.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "csrc"
STORED = HERE / "instructions.json"
WORKS = {
    "scan": "scan of an envelope",
    "get": "repeated native GET of two floats over TCP",
    "gets": "the same, dozens in one receive",
}
ROOMS = ("base", "crypto", "zmtp", "tcp", "transport", "documents", "requests", "streams")
BESIDES = ("server/loop.cpp",)
TOLERANCE = 0.15  # compilers' versions and C libraries differ a little
FEW, MANY = 1000, 3000
SKIPPED = 77  # the status by which test programs say so


def compiler() -> list[str]:
    """Return the command of the C++ compiler."""
    return os.environ.get("CXX", "c++").split()


def family() -> str:
    """Return the compiler's family: figures are stored for each."""
    version = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=True)
    return "clang" if "clang" in version.stdout else "gcc"


def compile_program(folder: Path) -> Path:
    """Compile the core without Python, as it is shipped: with -O2."""
    program = folder / "instructions"
    sources = [HERE / "native" / "instructions.cpp"]
    sources += [path for room in ROOMS for path in sorted((CORE / room).glob("*.cpp"))]
    sources += [CORE / name for name in BESIDES]
    command = [*compiler(), "-std=c++17", "-O2", "-DNDEBUG", f"-I{CORE}", *map(str, sources)]
    subprocess.run([*command, "-pthread", "-ldl", "-o", str(program)], check=True)
    return program


def by_callgrind(command: list[str], folder: Path) -> int | None:
    """Instructions of a program, counted by valgrind; None where it cannot."""
    if shutil.which("valgrind") is None:
        return None
    counter = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind'}"]
    done = subprocess.run([*counter, *command], capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    return int(found[1]) if done.returncode == 0 and found else None


def by_perf(command: list[str], folder: Path) -> int | None:
    """Instructions of a program, counted by the processor; None where it cannot."""
    if shutil.which("perf") is None:
        return None
    counter = ["perf", "stat", "-x", ",", "-e", "instructions:u", "-o", str(folder / "perf")]
    done = subprocess.run([*counter, *command], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    found = re.search(r"^(\d+),", (folder / "perf").read_text(), re.MULTILINE)
    return int(found[1]) if found else None


def count() -> dict[str, float] | None:
    """Instructions for one of each work; None where nothing here can count."""
    counters: list[Callable[[list[str], Path], int | None]] = [by_callgrind, by_perf]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = str(compile_program(folder))
        for counter in counters:
            if counter([program, "scan", "1"], folder) is not None:
                break
        else:
            return None
        found = {}
        for work in WORKS:
            few, many = (counter([program, work, str(n)], folder) for n in (FEW, MANY))
            if few is None or many is None:
                raise RuntimeError(f"the program failed at '{work}'")
            found[work] = (many - few) / (MANY - FEW)
        return found


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", action="store_true", help="store the figures of today")
    options = parser.parse_args()
    found = count()
    if found is None:
        print("skipped: neither valgrind nor perf can count instructions here")
        return SKIPPED
    figures = json.loads(STORED.read_text())
    if options.store:
        figures[family()] = {key: round(value) for key, value in found.items()}
        STORED.write_text(json.dumps(figures, indent=1) + "\n")
    stored = figures[family()]
    status = 0
    for work, title in WORKS.items():
        ratio = found[work] / stored[work]
        verdict = "ok"
        if ratio > 1 + TOLERANCE:
            verdict, status = "TOO MANY", 1
        elif ratio < 1 - TOLERANCE:
            verdict = "ok; fewer than stored: run with --store"
        print(f"{title}: {found[work]:.0f} instructions, {ratio:.2f} of the stored: {verdict}")
    return status


if __name__ == "__main__":
    sys.exit(main())
