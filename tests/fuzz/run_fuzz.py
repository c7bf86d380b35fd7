"""Search for inputs that break what a target holds: docs/reliability.md lists the targets.

python tests/fuzz/run_fuzz.py TARGET|all [--seconds 60] [--lanes 1] [--merge] [--found FOLDER]

With a clang that has libFuzzer the search is guided by coverage; any other C++ compiler builds
the target's own main(), with sanitizers where the compiler has them. The target in Python changes
its inputs at random. The exit status is 0 if nothing was found. An input that breaks a rule is
printed in hex, by a guided search as small as that can make it; with --merge it goes into the
target's corpus. As long as the corpus is small, so does what a guided search has found to reach
code that no other input there does. With --found a guided search goes on where the last one with
that folder ended.
"""

from __future__ import annotations

import argparse
import os
import random
import re
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
"""Bytes of inputs in a corpus, up to which a search adds what breaks nothing."""
MOST_SAID = 40
"""Lines of what a compiler says."""


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


def build(target: Target, compiler: Sequence[str], flags: Sequence[str], program: Path) -> str:
    """Compile the target; what the compiler says where it cannot, for want of a library perhaps."""
    includes = [f"-I{CORE}", f"-I{TESTS}", f"-I{TESTS / 'native'}"]
    command = [*compiler, "-std=c++17", *includes, "-g1", "-O1", "-pthread", *flags]
    command += map(str, [target.main, *target.sources])
    command += ["-o", str(program), *(["-ldl"] if sys.platform == "linux" else [])]
    built = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if built.returncode == 0:
        return ""
    said = built.stdout.splitlines()[:MOST_SAID]
    return "\n".join([f"{compiler[0]} cannot build it:", *said]) + "\n"


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


def tell(log: Path, words: str) -> None:
    with log.open("a") as output:
        output.write(words)


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
        tell(log, f"{target.name}: this breaks it, in hex: {each.hex()}\n")
    if search.merge and status == 0:
        run([program, "-merge=1", *LIMITS, kept, found], work / "merging")
        add_inputs(target.name, contents(kept), log)
    elif search.merge:
        add_breaking(target.name, new, log)
    return status


def add_inputs(name: str, new: set[bytes], log: Path) -> None:
    """Add inputs that break nothing to a corpus, as far as it may grow. Those there stay."""
    before = set(inputs_of(name))
    inputs = set(before)
    size = sum(map(len, inputs))
    for each in sorted(new - inputs, key=len):
        size += len(each)
        if size <= MOST_KEPT:
            inputs.add(each)
    keep_inputs(name, inputs)
    added, left = len(inputs - before), len(new - inputs)
    tell(log, f"{name}: added to its corpus: {added}; without room there: {left}\n")


def add_breaking(name: str, new: set[bytes], log: Path) -> None:
    """Add inputs that break something, however large the corpus is."""
    before = set(inputs_of(name))
    keep_inputs(name, before | new)
    tell(log, f"{name}: added to its corpus, as they break it: {len(new - before)}\n")


def search_blind(name: str, command: Sequence[str | Path], search: Search, log: Path) -> int:
    """Search by a program that changes inputs at random; the exit status."""
    options = ["--seconds", str(search.seconds), "--seed", str(search.seed)]
    if search.found:
        tell(log, f"{name}: --found is of no use, this search is not guided\n")
    status = run([*command, *options, corpus_of(name)], log)
    if search.merge and status != 0:
        hexadecimal = re.findall(r"in hex: ([0-9a-f]+)$", log.read_text(), re.MULTILINE)
        add_breaking(name, set(map(bytes.fromhex, hexadecimal)), log)
    return status


def search_native(target: Target, search: Search, work: Path, log: Path) -> int:
    """Build a target and search; the exit status."""
    program = work / "fuzz"
    refused = ""
    if search.engine != "standalone":
        for compiler in compilers("clang++"):
            refused = build(target, compiler, LIBFUZZER, program)
            if not refused:
                return search_guided(target, program, search, work, log)
    if search.engine != "libfuzzer":
        for flags in (SANITIZERS, []):
            for compiler in compilers():
                refused = build(target, compiler, flags, program)
                if not refused:
                    return search_blind(target.name, [program], search, log)
    tell(log, f"no C++ compiler here can build this target\n{refused}")
    return 2


def search_one(name: str, search: Search) -> int:
    """Search for one target and tell what came of it; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        log = work / "log"
        log.touch()
        if name == UPDATES:
            program = HERE / "updates_fuzz.py"
            status = search_blind(name, [sys.executable, program], search, log)
        else:
            status = search_native(NATIVE_TARGETS[name], search, work, log)
        text = log.read_text(errors="replace")
    lines = text.splitlines()
    last = [line for line in lines if line.startswith("Done") or "broken" in line]
    ours = [line for line in lines if line.startswith(f"{name}: ")]
    told = text if status != 0 or not last else "\n".join([*last[-1:], *ours, ""])
    print(f"{name}, {search.seconds} s, seed {search.seed}: {told}", end="", flush=True)
    return status


def count(text: str) -> int:
    """Read a whole number above 0: 0 seconds would be no limit to libFuzzer."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, is {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Search for the time asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz a part of the package, or all.")
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument(
        "--seconds", type=count, default=60, help="how long to search, for each (default: 60)"
    )
    parser.add_argument(
        "--lanes", type=count, default=1, help="how many targets at a time (default: 1)"
    )
    parser.add_argument("--seed", type=int, help="of the changes (default: a random one)")
    parser.add_argument("--engine", choices=["auto", "libfuzzer", "standalone"], default="auto")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="add what breaks a target to its corpus, and what a guided search finds new",
    )
    parser.add_argument(
        "--found", type=Path, help="folder for what a guided search finds, and of last time"
    )
    options = parser.parse_args(arguments)
    if options.found:
        try:
            options.found.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"argument --found: {error}")
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
