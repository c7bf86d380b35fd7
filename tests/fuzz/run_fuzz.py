"""Search for inputs that break what a target holds: docs/reliability.md lists the targets.

python tests/fuzz/run_fuzz.py TARGET|all [--seconds 60] [--lanes 1] [--merge] [--found FOLDER]

With a clang that has libFuzzer the search is guided by coverage; any other C++ compiler builds
the target's own main(), with sanitizers where the compiler has them. The exit status is 0 if
nothing was found. An input that breaks a rule is made as small as possible and printed in hex; with
--merge it goes into the target's corpus, as does what reaches code that no other input there does.
With --found a guided search goes on where the last one with that folder ended.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fuzz.targets import (  # noqa: E402
    CORE,
    HERE,
    NAMES,
    NATIVE_TARGETS,
    UPDATES,
    Target,
    corpus_of,
    inputs_of,
    keep_inputs,
)
from support.sodium import libsodium  # noqa: E402

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIBFUZZER = [
    "-DFUZZ_GUIDED",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=all",
]
# Nothing that is fuzzed may need as much for inputs of a few KiB.
LIMITS = ["-malloc_limit_mb=64", "-rss_limit_mb=1024", "-timeout=60"]
LEAST_S = 30
"""What making a find smaller may take."""
MOST_KEPT = 48 * 1024
"""Bytes of inputs in a corpus, up to which a search adds to it."""


@dataclass(frozen=True)
class Search:
    """How long and how to search, and what becomes of what is found."""

    seconds: int
    seed: int
    engine: str
    merge: bool
    found: Path | None


def compilers(*preferred: str) -> list[list[str]]:
    """The commands of this machine's C++ compilers; CXX may hold several words."""
    commands = [os.environ.get("CXX", "").split(), *([name] for name in preferred)]
    commands += [["c++"], ["g++"], ["clang++"]]
    return [command for command in commands if command and shutil.which(command[0])]


def build(target: Target, compiler: Sequence[str], flags: Sequence[str], program: Path) -> bool:
    """Compile the target; False if this compiler cannot, for want of a library for instance."""
    includes = [f"-I{CORE}", f"-I{TESTS}", f"-I{TESTS / 'native'}"]
    command = [*compiler, "-std=c++17", *includes, "-g1", "-O1", "-pthread", *flags]
    command += map(str, [target.main, *target.sources])
    command += ["-o", str(program), *(["-ldl"] if sys.platform == "linux" else [])]
    return subprocess.run(command, capture_output=True).returncode == 0


def with_libsodium() -> dict[str, str]:
    """The environment, with the path of the libsodium that pyzmq has brought."""
    found = libsodium()
    return dict(os.environ, **({"LAPLACE_LIBSODIUM": str(found)} if found else {}))


def run(command: Sequence[str | Path], log: Path) -> int:
    """Run a command with its output in a file; its exit status."""
    with log.open("a") as output:
        return subprocess.run(
            command, env=with_libsodium(), stdout=output, stderr=subprocess.STDOUT
        ).returncode


def contents(folder: Path) -> set[bytes]:
    return {path.read_bytes() for path in folder.iterdir()}


def fill(folder: Path, inputs: Sequence[bytes]) -> None:
    folder.mkdir()
    for number, each in enumerate(inputs):
        (folder / str(number)).write_bytes(each)


def search_guided(target: Target, program: Path, search: Search, work: Path, log: Path) -> int:
    """Search by libFuzzer; the exit status."""
    kept, finds = work / "kept", work / "finds"
    found = (search.found or work / "found") / target.name
    fill(kept, inputs_of(target.name))
    found.mkdir(parents=True, exist_ok=True)
    finds.mkdir()
    status = run(
        [
            program,
            f"-max_total_time={search.seconds}",
            f"-seed={search.seed}",
            f"-max_len={target.max_bytes}",
            f"-artifact_prefix={finds}/",
            "-print_final_stats=1",
            *LIMITS,
            found,
            kept,
        ],
        log,
    )
    new: set[bytes] = set()
    for find in sorted(finds.iterdir()):
        least = work / f"least-{find.name}"
        smaller = ["-minimize_crash=1", f"-max_total_time={LEAST_S}"]
        run([program, *smaller, *LIMITS, f"-exact_artifact_path={least}", find], work / "smaller")
        new.add((least if least.exists() else find).read_bytes())
    for each in new:
        with log.open("a") as output:
            output.write(f"{target.name}: this breaks it, in hex: {each.hex()}\n")
    if search.merge and status == 0:
        run([program, "-merge=1", *LIMITS, kept, found], work / "merging")
        new = contents(kept)
    if search.merge:
        add_inputs(target.name, new)
    return status


def add_inputs(name: str, new: set[bytes]) -> None:
    """Add inputs to a corpus, as far as it may grow. Those that are there stay."""
    inputs = set(inputs_of(name))
    size = sum(map(len, inputs))
    for each in sorted(new - inputs, key=len):
        size += len(each)
        if size <= MOST_KEPT:
            inputs.add(each)
    keep_inputs(name, inputs)


def search_native(target: Target, search: Search, work: Path, log: Path) -> int:
    """Build a target and search; the exit status."""
    program = work / "fuzz"
    if search.engine != "standalone":
        for compiler in compilers("clang++"):
            if build(target, compiler, LIBFUZZER, program):
                return search_guided(target, program, search, work, log)
    if search.engine != "libfuzzer":
        for flags in (SANITIZERS, []):
            for compiler in compilers():
                if build(target, compiler, flags, program):
                    options = ["--seconds", str(search.seconds), "--seed", str(search.seed)]
                    return run([program, *options, target.corpus], log)
    log.write_text("no C++ compiler here can build this target\n")
    return 2


def search_one(name: str, search: Search) -> int:
    """Search for one target and tell what came of it; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        log = work / "log"
        if name == UPDATES:
            options = ["--seconds", str(search.seconds), "--seed", str(search.seed)]
            program = HERE / "updates_fuzz.py"
            status = run([sys.executable, program, *options, corpus_of(name)], log)
        else:
            status = search_native(NATIVE_TARGETS[name], search, work, log)
        text = log.read_text(errors="replace")
    last = [line for line in text.splitlines() if line.startswith("Done") or "broken" in line]
    told = text if status != 0 or not last else f"{last[-1]}\n"
    print(f"{name}, {search.seconds} s, seed {search.seed}: {told}", end="", flush=True)
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Search for the time asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz a part of the package, or all.")
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--seconds", type=int, default=60, help="how long to search, for each")
    parser.add_argument("--lanes", type=int, default=1, help="how many targets at a time")
    parser.add_argument("--seed", type=int, help="of the changes (default: a random one)")
    parser.add_argument("--engine", choices=["auto", "libfuzzer", "standalone"], default="auto")
    parser.add_argument("--merge", action="store_true", help="add to the corpora what is new")
    parser.add_argument("--found", type=Path, help="folder for what is found, and of last time")
    options = parser.parse_args(arguments)
    seed = random.randrange(1, 2**31) if options.seed is None else options.seed
    search = Search(options.seconds, seed, options.engine, options.merge, options.found)
    names = NAMES if options.target == "all" else [options.target]
    with ThreadPoolExecutor(options.lanes) as lanes:
        statuses = list(lanes.map(lambda name: search_one(name, search), names))
    used = os.times()
    minutes = (used.children_user + used.children_system) / 60
    print(f"{minutes:.1f} minutes of CPU, builds included")
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main())
