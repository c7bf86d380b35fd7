"""What is fuzzed: the sources of each target, and how long its inputs may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
CORE = TESTS.parent / "csrc"


@dataclass(frozen=True)
class Target:
    """A program of NAME_fuzz.cpp and of these sources of the core."""

    name: str
    sources: tuple[Path, ...]
    max_bytes: int
    needs_sodium: bool = False

    @property
    def main(self) -> Path:
        return HERE / f"{self.name}_fuzz.cpp"

    @property
    def corpus(self) -> Path:
        return corpus_of(self.name)


def corpus_of(name: str) -> Path:
    """The file with the inputs of a target that are kept, in hex, one a line."""
    return HERE / "corpora" / f"{name}.txt"


def room(name: str) -> tuple[Path, ...]:
    return tuple(sorted((CORE / name).glob("*.cpp")))


def files(*names: str) -> tuple[Path, ...]:
    return tuple(CORE / f"{name}.cpp" for name in names)


CURVE = (*room("crypto"), *room("zmtp"))
READER = files("zmtp/commands", "zmtp/conversation", "transport/message_reader")
NATIVE_TARGETS = {
    target.name: target
    for target in (
        Target("scan", files("requests/scan"), 4096),
        Target("zmtp", (*CURVE, *files("transport/message_reader")), 1024),
        Target("curve", CURVE, 256, needs_sodium=True),
        Target("link", (*CURVE, *files("client/curve_link", "client/incoming")), 512, True),
        Target("streams", (*READER, *room("streams")), 512),
        Target("requests", (*READER, *room("documents"), *room("requests")), 512),
    )
}
UPDATES = "updates"
"""The target that is written in Python: updates_fuzz.py."""

NAMES = [*NATIVE_TARGETS, UPDATES]


def inputs_of(name: str) -> list[bytes]:
    """The inputs of a target that are kept."""
    return [bytes.fromhex(line) for line in corpus_of(name).read_text().split()]


def keep_inputs(name: str, inputs: set[bytes]) -> None:
    """Write a corpus anew: short inputs first, as git shows changes best."""
    lines = (each.hex() for each in sorted(inputs, key=lambda each: (len(each), each)))
    corpus_of(name).write_text("".join(f"{line}\n" for line in lines if line))
