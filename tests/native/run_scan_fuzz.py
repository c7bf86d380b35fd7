"""Build and run the fuzz target of the envelope scanner.

python tests/native/run_scan_fuzz.py [--seconds 60] [--seed 1] [--engine auto]

With a clang that has libFuzzer the search is guided by coverage; any other C++ compiler builds
the target's own main(), with sanitizers where the compiler has them. Both start from the texts
of tests/json_cases.py. The exit status is 0 if nothing was found; an input that breaks a rule is
printed in hex, and libFuzzer also leaves it in the current folder.
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
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = [HERE / "scan_fuzz.cpp", HERE.parents[1] / "csrc" / "scan.cpp"]
MAX_INPUT_BYTES = 4096
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIBFUZZER = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
DICTIONARY = [
    '"', "\\", "{}", "[]", "[[", "]]", '{"a":', ",", ":", "-0", "0.0", "1e-400", "E+",
    "123456789012345678", "true", "false", "null", "NaN", "\\u0041", "\\ud800", "\\n", '"cmd":',
    '"from":', '"version":', '"payload":', '"c\\u006dd":', "é", "日", "😀", "\ufeff",
]  # fmt: skip


def compilers(*preferred: str) -> list[list[str]]:
    """The commands of this machine's C++ compilers; CXX may hold several words."""
    commands = [os.environ.get("CXX", "").split(), *([name] for name in preferred)]
    commands += [["c++"], ["g++"], ["clang++"]]
    return [command for command in commands if command and shutil.which(command[0])]


def build(compiler: Sequence[str], flags: Sequence[str], program: Path) -> bool:
    """Compile the target; False if this compiler cannot, for want of a library for instance."""
    command = [*compiler, "-std=c++17", "-g", "-O1", *flags, *map(str, SOURCES)]
    return subprocess.run([*command, "-o", str(program)], capture_output=True).returncode == 0


def seed_files(folder: Path) -> list[str]:
    """The written cases as files, save the very long ones."""
    sys.path.insert(0, str(HERE.parent))
    from json_cases import CASES

    folder.mkdir()
    for case in CASES:
        if len(case.text) <= MAX_INPUT_BYTES:
            (folder / case.name).write_bytes(case.text)
    return sorted(map(str, folder.iterdir()))


def libfuzzer_command(work: Path, seconds: int, seed: int) -> list[str] | None:
    """Build for libFuzzer; None if no compiler has it."""
    program = work / "scan_fuzz"
    if not any(build(compiler, LIBFUZZER, program) for compiler in compilers("clang++")):
        return None
    seed_files(work / "corpus")
    dictionary = work / "dictionary"
    entries = ("".join(f"\\x{byte:02x}" for byte in entry.encode()) for entry in DICTIONARY)
    dictionary.write_text("".join(f'"{entry}"\n' for entry in entries))
    return [
        str(program),
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-dict={dictionary}",
        "-print_final_stats=1",
        str(work / "corpus"),
    ]


def standalone_command(work: Path, seconds: int, seed: int) -> list[str] | None:
    """Build the target's own main(); None without a C++ compiler."""
    program = work / "scan_fuzz_standalone"
    define = "-DSCAN_FUZZ_STANDALONE"
    for flags in ([define, *SANITIZERS], [define]):
        for compiler in compilers():
            if build(compiler, flags, program):
                options = ["--seconds", str(seconds), "--seed", str(seed)]
                return [str(program), *options, *seed_files(work / "corpus")]
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for the time asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz the envelope scanner.")
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument("--seed", type=int, help="of the mutations (default: a random one)")
    parser.add_argument("--engine", choices=["auto", "libfuzzer", "standalone"], default="auto")
    options = parser.parse_args(arguments)
    seed = random.randrange(1, 2**31) if options.seed is None else options.seed

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command = None
        if options.engine in ("auto", "libfuzzer"):
            command = libfuzzer_command(work, options.seconds, seed)
        if command is None and options.engine in ("auto", "standalone"):
            command = standalone_command(work, options.seconds, seed)
        if command is None:
            print("no C++ compiler here can build the fuzz target", file=sys.stderr)
            return 2
        print(f"{Path(command[0]).name}: {options.seconds} s, seed {seed}", flush=True)
        return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
