"""Build and run a fuzz target: "scan", the envelope scanner; "zmtp", the wire; "curve", CurveZMQ.

python tests/native/run_fuzz.py TARGET [--seconds 60] [--seed 1] [--engine auto]

With a clang that has libFuzzer the search is guided by coverage; any other C++ compiler builds
the target's own main(), with sanitizers where the compiler has them. The exit status is 0 if
nothing was found; an input that breaks a rule is printed in hex, and libFuzzer also leaves it in
the current folder.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE = HERE.parents[1] / "csrc"
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIBFUZZER = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
SCAN_WORDS = [
    '"', "\\", "{}", "[]", "[[", "]]", '{"a":', ",", ":", "-0", "0.0", "1e-400", "E+",
    "123456789012345678", "true", "false", "null", "NaN", "\\u0041", "\\ud800", "\\n", '"cmd":',
    '"from":', '"version":', '"payload":', '"c\\u006dd":', "é", "日", "😀", "\ufeff",
]  # fmt: skip
ZMTP_WORDS = [
    b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL", b"\x01\0", b"\0\0", b"\x02\0\0\0\0\0\0",
    b"\x06\0\0\0\0\0\0", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x04\x26\x05READY", b"\x05READY",
    b"\x0bSocket-Type\0\0\0", b"\x03REQ", b"\x06DEALER", b"\x06ROUTER", b"\x08Identity\0\0\0",
    b"\x05ERROR", b"\x04\x07\x04PING\0\x0a", b"\x04PING", b"\x04\x05\x04PONG", b"\x04PONG",
    b"\x09SUBSCRIBE",
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """What is fuzzed, and what inputs are made of."""

    sources: list[Path]
    seeds: Callable[[], Iterator[tuple[str, bytes]]]
    dictionary: list[bytes]
    max_bytes: int


def scan_seeds() -> Iterator[tuple[str, bytes]]:
    sys.path.insert(0, str(HERE.parent))
    from support.json_cases import CASES

    for case in CASES:
        yield case.name, case.text


def curve_seeds() -> Iterator[tuple[str, bytes]]:
    """A handshake and some messages, in the words of curve_fuzz.cpp."""
    handshake = bytes([0, 1, 0, 1])
    yield "talk", handshake + bytes([2, 1, 3, 2, 0, 1])
    yield "repeated", handshake + bytes([2, 9, 7, 11]) + handshake


def zmtp_seeds() -> Iterator[tuple[str, bytes]]:
    """What libzmq said, cut here and there, and the inputs that searches found worth keeping."""
    for path in sorted((HERE / "recordings").glob("*.txt")):
        lines = [line.split() for line in path.read_text().splitlines()]
        said = b"".join(bytes.fromhex(words[1]) for words in lines if words[0] == "libzmq")
        choices = 4 if path.stem.startswith("bound") else 0
        yield path.stem, bytes([choices, 3, 1, 7, 64]) + said
    kept = (HERE / "zmtp_fuzz_inputs.txt").read_text().split()
    yield from ((f"kept_{number}", bytes.fromhex(text)) for number, text in enumerate(kept))


TARGETS = {
    "scan": Target(
        sources=[HERE / "scan_fuzz.cpp", CORE / "requests" / "scan.cpp"],
        seeds=scan_seeds,
        dictionary=[word.encode() for word in SCAN_WORDS],
        max_bytes=4096,
    ),
    "zmtp": Target(
        sources=[
            HERE / "zmtp_fuzz.cpp",
            CORE / "transport" / "message_reader.cpp",
            *sorted((CORE / "zmtp").glob("*.cpp")),
            *sorted((CORE / "crypto").glob("*.cpp")),
        ],
        seeds=zmtp_seeds,
        dictionary=ZMTP_WORDS,
        max_bytes=1024,
    ),
    "curve": Target(
        sources=[
            HERE / "curve_fuzz.cpp",
            *sorted((CORE / "zmtp").glob("*.cpp")),
            *sorted((CORE / "crypto").glob("*.cpp")),
        ],
        seeds=curve_seeds,
        dictionary=[bytes([4, 0, 80, 1]), bytes([5, 0, 33]), bytes([10, 0, 2, 5, 72])],
        max_bytes=256,
    ),
}


def with_libsodium() -> dict[str, str]:
    """The environment, with the path of the libsodium that pyzmq has brought."""
    sys.path.insert(0, str(HERE.parent))
    from support.sodium import libsodium

    found = libsodium()
    return dict(os.environ, **({"LAPLACE_LIBSODIUM": str(found)} if found else {}))


def compilers(*preferred: str) -> list[list[str]]:
    """The commands of this machine's C++ compilers; CXX may hold several words."""
    commands = [os.environ.get("CXX", "").split(), *([name] for name in preferred)]
    commands += [["c++"], ["g++"], ["clang++"]]
    return [command for command in commands if command and shutil.which(command[0])]


def build(target: Target, compiler: Sequence[str], flags: Sequence[str], program: Path) -> bool:
    """Compile the target; False if this compiler cannot, for want of a library for instance."""
    command = [*compiler, "-std=c++17", f"-I{CORE}", f"-I{HERE}", "-g", "-O1", *flags]
    command += map(str, target.sources)
    command += ["-o", str(program), *(["-ldl"] if sys.platform == "linux" else [])]
    return subprocess.run(command, capture_output=True).returncode == 0


def seed_files(target: Target, folder: Path) -> list[str]:
    """The inputs to begin with as files, save the very long ones."""
    folder.mkdir()
    for name, text in target.seeds():
        if len(text) <= target.max_bytes:
            (folder / name).write_bytes(text)
    return sorted(map(str, folder.iterdir()))


def libfuzzer_command(target: Target, work: Path, seconds: int, seed: int) -> list[str] | None:
    """Build for libFuzzer; None if no compiler has it."""
    program = work / "fuzz"
    if not any(build(target, compiler, LIBFUZZER, program) for compiler in compilers("clang++")):
        return None
    seed_files(target, work / "corpus")
    dictionary = work / "dictionary"
    entries = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.dictionary)
    dictionary.write_text("".join(f'"{entry}"\n' for entry in entries))
    return [
        str(program),
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={target.max_bytes}",
        f"-dict={dictionary}",
        "-print_final_stats=1",
        str(work / "corpus"),
    ]


def standalone_command(target: Target, work: Path, seconds: int, seed: int) -> list[str] | None:
    """Build the target's own main(); None without a C++ compiler."""
    program = work / "fuzz_standalone"
    define = "-DFUZZ_STANDALONE"
    for flags in ([define, *SANITIZERS], [define]):
        for compiler in compilers():
            if build(target, compiler, flags, program):
                options = ["--seconds", str(seconds), "--seed", str(seed)]
                return [str(program), *options, *seed_files(target, work / "corpus")]
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run for the time asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz a part of the core.")
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument("--seed", type=int, help="of the mutations (default: a random one)")
    parser.add_argument("--engine", choices=["auto", "libfuzzer", "standalone"], default="auto")
    options = parser.parse_args(arguments)
    target = TARGETS[options.target]
    seed = random.randrange(1, 2**31) if options.seed is None else options.seed

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        command = None
        if options.engine in ("auto", "libfuzzer"):
            command = libfuzzer_command(target, work, options.seconds, seed)
        if command is None and options.engine in ("auto", "standalone"):
            command = standalone_command(target, work, options.seconds, seed)
        if command is None:
            print("no C++ compiler here can build the fuzz target", file=sys.stderr)
            return 2
        print(
            f"{options.target}, {Path(command[0]).name}: {options.seconds} s, seed {seed}",
            flush=True,
        )
        needs = with_libsodium() if options.target == "curve" else None
        return subprocess.run(command, env=needs).returncode


if __name__ == "__main__":
    sys.exit(main())
