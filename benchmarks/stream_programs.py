"""Starts the programs of the stream rows: a producer and its subscribers, each a process."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import programs
import psutil
from streams.work import IMAGE_SIZE, StreamWork, real_time_permitted

NATIVE = "native PUB/SUB"
PATIENCE_S = 90.0
SHORT_PATIENCE_S = 20.0
PROGRAM = str(Path(__file__).with_name("stream_peer.py"))


@dataclass(frozen=True)
class StreamPeer:
    """A way to send a stream to compare."""

    name: str
    module: str = ""
    share: float = 1.0
    """How much of what the quick ones are given to send; for those that take long."""

    def why_not(self, work: StreamWork) -> str:
        """Why this peer cannot do the work; empty if it can."""
        if work.real_time and not real_time_permitted():
            return "the system does not permit threads in real time"
        if not self.module:
            return "it keeps no times" if work.timed else ""
        try:
            module = importlib.import_module(f"streams.{self.module}")
        except ImportError as error:
            return f"not installed here: {error}"
        for what, reason in module.CANNOT.items():
            if getattr(work, what):
                return str(reason)
        return ""

    def version(self) -> str:
        """Version of what is measured."""
        if not self.module:
            return "libzmq of pyzmq " + importlib.metadata.version("pyzmq")
        try:
            module = importlib.import_module(f"streams.{self.module}")
        except ImportError:
            return "not installed"
        return getattr(module, "REQUIREMENT", "") or importlib.metadata.version("laplace-server")

    def command(self, action: str, work: StreamWork, file: Path, *rest: str) -> list[str]:
        """Return the command that produces or subscribes."""
        if self.module:
            text = json.dumps(asdict(work))
            return [sys.executable, PROGRAM, action, self.module, text, str(file), *rest]
        last = rest[0] if rest else str(int(not work.given))
        image_bytes = str(IMAGE_SIZE * 8 if work.images else 0)
        return [programs.compiled("pubsub"), action, programs.libzmq(), image_bytes, last]


class Program:
    """A process that tells lines; somebody reads them all the time, so that none waits for long."""

    def __init__(self, command: list[str]) -> None:
        self._running = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process = psutil.Process(self._running.pid)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def told(self, patience_s: float = PATIENCE_S) -> str:
        """Return its next line.

        Raises:
            RuntimeError: it has failed, has ended, or is silent for too long.
        """
        try:
            line = self._lines.get(timeout=patience_s)
        except queue.Empty:
            raise RuntimeError(f"silent for {patience_s:g} s") from None
        if not line:
            raise RuntimeError("a program of the stream has ended")
        if line.startswith('{"error"'):
            raise RuntimeError(json.loads(line)["error"])
        return line

    def tell(self, line: str) -> None:
        """Give it a line."""
        assert self._running.stdin is not None
        self._running.stdin.write(line + "\n")
        self._running.stdin.flush()

    def close(self) -> None:
        """End it."""
        self._running.kill()
        self._running.wait()
        self._reader.join()
        for pipe in (self._running.stdin, self._running.stdout):
            assert pipe is not None
            pipe.close()


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

    def file_of(self, subscriber: int | None) -> Path:
        """Where that one, or the producer, leaves its times."""
        return self._folder / ("produced" if subscriber is None else f"received{subscriber}")

    def _start(self, action: str, file: Path, *rest: str) -> Program:
        program = Program(self._peer.command(action, self._work, file, *rest))
        self._stack.callback(program.close)
        return program

    def subscribe(self, count: int = 1) -> None:
        """Start more subscribers, and wait until they are ready."""
        begun = [
            self._start("subscribe", self.file_of(number), self.address, str(self.last + 1))
            for number in range(len(self.subscribers), len(self.subscribers) + count)
        ]
        self.subscribers += begun
        self.firsts += [self.last + 1] * count
        for each in begun:
            if each.told(SHORT_PATIENCE_S) != "ready":
                raise RuntimeError("a subscriber is not ready")

    def begin(self, count: int, rate: float = 0.0, last: bool = False, busy: bool = False) -> None:
        """Let the producer begin a phase; see ``stream_peer.py``."""
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
