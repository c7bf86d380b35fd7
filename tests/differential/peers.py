"""The tests' side of `server_process.py`: start it, send it frames, see what its callbacks saw."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
from support.machine import within

SCRIPT = Path(__file__).with_name("server_process.py")

Frames = list[bytes]


@dataclass(frozen=True)
class Outcome:
    """What one request led to: reply None means that none came, and then `alive` matters."""

    reply: Frames | None
    events: list[list[str]] = field(default_factory=list)
    alive: bool = True


class ServerProcess:
    """A server in a process of its own, and a REQ socket connected to it."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], import_from: Path | None, **server: Any
    ) -> None:
        self.context = context
        self.is_original = import_from is not None
        self.has_callbacks = server.get("callbacks", "none") != "none"
        self.socket: zmq.Socket[bytes] | None = None
        config = {"import_from": str(import_from) if import_from else None, "server": server}
        # A file, since nobody reads a pipe while the process runs.
        self.stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.stderr,
            encoding="utf-8",
        )
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            ready = self._next_line(timeout_s=within(30))
        except AssertionError:
            self.kill()
            raise
        self.port = int(ready["port"])
        self.version = str(ready["version"])
        self.origin = Path(ready["origin"])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def _next_line(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self.lines.get(timeout=timeout_s)
        except queue.Empty:
            raise AssertionError(f"no word in {timeout_s} s\n{self.complaints()}") from None
        if not line:
            raise AssertionError(f"the process ended ({self.process.wait()})\n{self.complaints()}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def complaints(self) -> str:
        """Return the end of what the process wrote on stderr."""
        self.stderr.seek(0)
        return self.stderr.read()[-4000:]

    def ask(self, what: str, **order: Any) -> dict[str, Any]:
        """Have the process do something beside the wire and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.process.stdin.flush()
        return self._next_line(timeout_s=within(10))

    def alive(self, wait_s: float = 0) -> bool:
        """Say whether the server's thread lives, after up to `wait_s` for its end."""
        return bool(self.ask("alive", wait_s=wait_s)["alive"])

    def restart(self) -> None:
        """Put a new server, as configured, in the place of the present one."""
        self._close_socket()
        self.port = int(self.ask("restart")["port"])

    def send(self, frames: Frames) -> None:
        """Send a request; `outcome` waits for what comes of it."""
        if self.socket is None:
            self.socket = self.context.socket(zmq.REQ)
            self.socket.linger = 0
            self.socket.connect(f"tcp://127.0.0.1:{self.port}")
        self.socket.send_multipart(frames)

    def outcome(self, timeout_s: float = within(5)) -> Outcome:
        """Return the reply and the callbacks since the last outcome; a silence costs the socket."""
        assert self.socket is not None
        reply = None
        alive = True
        deadline = time.monotonic() + timeout_s
        while reply is None and time.monotonic() < deadline:
            alive = self.socket.poll(5) != 0 or self.alive()
            # A reply sent just before the end may still be on its way.
            if alive or self.socket.poll(int(within(10))):
                if self.socket.poll(0):
                    reply = self.socket.recv_multipart()
            else:
                break
        if reply is None:
            self._close_socket()
        return Outcome(reply, self.events(), alive)

    def events(self) -> list[list[str]]:
        """Return the callbacks called since the last look, as [name, described arguments]."""
        if not self.has_callbacks:
            return []
        events = self.ask("events")["events"]
        assert isinstance(events, list)
        return events

    def request(self, *frames: bytes, timeout_s: float = within(5)) -> Outcome:
        """Send a request and return what came of it."""
        self.send(list(frames))
        return self.outcome(timeout_s)

    def _close_socket(self) -> None:
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def end(self) -> int:
        """Ask the process to end and return its exit status."""
        self._close_socket()
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            return self.process.wait(timeout=within(10))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process does not end\n{self.complaints()}") from None

    def kill(self) -> None:
        """End the process if it still runs and free all there is of it here."""
        self._close_socket()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.stderr):
            assert stream is not None
            stream.close()
