"""Runs a producer and its subscribers, each a process."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.common.curve import SERVER_PUBLIC, SERVER_SECRET
from benchmarks.common.native import compiled, libsodium, libzmq
from benchmarks.common.processes import Program, python
from benchmarks.common.suite import Peer
from benchmarks.streams.work import IMAGE_SIZE, StreamWork, real_time_permitted

NATIVE, SEALING = "native PUB/SUB", "libsodium alone"
SHORT_PATIENCE_S = 20.0


@dataclass(frozen=True)
class StreamPeer(Peer):
    """A way to send a stream, to compare."""

    share: float = 1.0
    """How much of what the quick ones are given to send; for those that take long."""

    package: ClassVar = "benchmarks.streams.peers"

    def why_not(self, work: StreamWork) -> str:
        """Why this peer cannot do the work; empty if it can."""
        if work.real_time and not real_time_permitted():
            return "the system does not permit threads in real time"
        if work.timed and not self.module:
            return "it keeps no times"
        return super().why_not(work)

    def command(self, action: str, work: StreamWork, file: Path, *rest: str) -> list[str]:
        """Return the command that produces or subscribes."""
        if self.module:
            arguments = [action, self.module, json.dumps(asdict(work)), str(file), *rest]
            return python("benchmarks.streams.process", *arguments)
        last = rest[0] if rest else str(int(not work.given))
        image_bytes = str(IMAGE_SIZE * 8 if work.images else 0)
        if self.name == SEALING:
            return [compiled("sealing"), action, libsodium(), image_bytes, last]
        keys = [SERVER_PUBLIC, SERVER_SECRET] if work.curve else []
        return [compiled("pubsub"), action, libzmq(), image_bytes, last, *keys]


@dataclass(frozen=True)
class Seen:
    """What a subscriber saw of the stream, to its end."""

    received: int
    missing: int
    at: float
    """When the last update came, s."""
    told: int | None
    """How many it was told are lost; None: nobody tells."""


class Streaming:
    """A producer, and subscribers that come one after the other."""

    def __init__(self, peer: StreamPeer, work: StreamWork, stack: ExitStack, folder: Path) -> None:
        self._peer = peer
        self._work = work
        self._stack = stack
        self._folder = folder
        self.last = 0
        """Number of the last update published."""
        self.subscribers: list[Program] = []
        self.firsts: list[int] = []
        """Number of the first update that each of them gets."""
        self.producer = self._start("produce", self.file_of(None))
        self.address = self.producer.told(SHORT_PATIENCE_S)
        if work.round_trip_s:
            self.address = self._far_from(self.address, work.round_trip_s / 2)

    def file_of(self, subscriber: int | None) -> Path:
        """Where that one, or the producer, leaves its times."""
        return self._folder / ("produced" if subscriber is None else f"received{subscriber}")

    def _start(self, action: str, file: Path, *rest: str) -> Program:
        return self._run(self._peer.command(action, self._work, file, *rest))

    def _run(self, command: list[str]) -> Program:
        program = Program(command)
        self._stack.callback(program.close)
        return program

    def _far_from(self, address: str, delay_s: float) -> str:
        """Return an address that leads there by a long path."""
        proxy = python("benchmarks.common.delaying_proxy", address, str(delay_s))
        return self._run(proxy).told(SHORT_PATIENCE_S)

    def subscribe(self, count: int = 1) -> None:
        """Start more subscribers, and wait until they are ready."""
        begun = [
            self._start("subscribe", self.file_of(number), self.address, str(self.last + 1))
            for number in range(len(self.subscribers), len(self.subscribers) + count)
        ]
        self.subscribers += begun
        self.firsts += [self.last + 1] * count
        for each in begun:
            each.expect_ready(SHORT_PATIENCE_S)

    def begin(self, count: int, rate: float = 0.0, last: bool = False, busy: bool = False) -> None:
        """Let the producer begin a phase; see ``process.py``."""
        self.producer.tell(f"{count} {rate} {len(self.subscribers)} {int(last)} {int(busy)}")

    def stop(self) -> None:
        """End a phase that has a rate."""
        self.producer.process.send_signal(signal.SIGUSR1)

    def end(self) -> dict[str, Any]:
        """Wait until the phase is over, and return what the producer says of it."""
        told: dict[str, Any] = json.loads(self.producer.told())
        self.last = told["last"]
        return told

    def run(self, count: int, rate: float = 0.0, *, last: bool = False, busy: bool = False) -> Any:
        """Do one phase."""
        self.begin(count, rate, last, busy)
        return self.end()

    def seen(self) -> list[Seen]:
        """Return what each subscriber saw; after the last phase."""
        found = [Seen(**json.loads(each.told())) for each in self.subscribers]
        for each in found:
            if each.told is not None and each.told != each.missing:
                raise RuntimeError(f"{each.missing} updates are missing, {each.told} told as lost")
        return found


@contextmanager
def streaming(peer: StreamPeer, work: StreamWork) -> Iterator[Streaming]:
    """Run a producer, and the subscribers that are wanted."""
    with tempfile.TemporaryDirectory(prefix="laplace-bench-") as folder, ExitStack() as stack:
        yield Streaming(peer, work, stack, Path(folder))
