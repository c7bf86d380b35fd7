"""A long path to a server: what TCP connections carry arrives later; ``main`` runs it.

    ADDRESS DELAY_S
        prints the address to connect to in place of ADDRESS, of this machine, and forwards for ever

Each byte arrives DELAY_S after it was sent, in either direction. As on a real path, no more is on
its way than a bandwidth of 1 GB/s sends in that time: whoever sends more has to wait.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque

BYTES_PER_S = 1_000_000_000
PIECE = 256 * 1024  # that is received and sent at once
BUFFER = 512 * 1024  # of each socket and direction


class Way:
    """One direction of a connection: a ring of bytes, and when each piece of them is due."""

    def __init__(self, source: socket.socket, target: socket.socket, delay_s: float) -> None:
        self._source = source
        self._target = target
        self._delay_s = delay_s
        self._ring = memoryview(bytearray(round(BYTES_PER_S * delay_s) + PIECE))
        self._received = self._sent = 0  # bytes, from the begin on
        self._pieces: deque[tuple[float, int]] = deque()  # when one is due, and where it ends
        self._changed = threading.Condition()
        for work in (self._receive, self._send):
            threading.Thread(target=work, daemon=True).start()

    def _receive(self) -> None:
        ring, size, more = self._ring, len(self._ring), True
        while more:
            with self._changed:
                self._changed.wait_for(lambda: self._received - self._sent < size)
                room = size - (self._received - self._sent)
            begin = self._received % size
            try:
                count = self._source.recv_into(ring[begin : begin + min(room, PIECE)])
            except OSError:
                count = 0
            with self._changed:
                self._received += count
                self._pieces.append((time.monotonic() + self._delay_s, self._received))
                self._changed.notify_all()
            more = count > 0

    def _send(self) -> None:
        ring, size = self._ring, len(self._ring)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                due, end = self._pieces.popleft()
            time.sleep(max(0.0, due - time.monotonic()))
            if end == self._sent:  # nothing more comes
                break
            while self._sent < end:
                begin = self._sent % size
                try:
                    count = self._target.send(ring[begin : begin + end - self._sent])
                except OSError:
                    break
                with self._changed:
                    self._sent += count
                    self._changed.notify_all()
        for each in (self._source, self._target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def main(address: str, delay_s: str) -> None:
    """Forward for ever."""
    port = int(address.rpartition(":")[2])
    with socket.socket() as listener:
        set_buffers(listener)  # accepted sockets have the same
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        print(f"tcp://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            near, _ = listener.accept()
            far = socket.socket()
            set_buffers(far)
            far.connect(("127.0.0.1", port))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Way(near, far, float(delay_s))
            Way(far, near, float(delay_s))


def set_buffers(of: socket.socket) -> None:
    """Keep the system from holding much more of what is on its way."""
    of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    of.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
