"""Servers without libzmq: they take TCP connections, and do with them what a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from support.peers import PATIENCE_S
from support.raw_peers import RawPeer

_READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"


class RawServer:
    """Takes connections in a thread, one after the other: ``talk(connection)`` has each until it
    returns, and then it is closed."""

    def __init__(self, talk: Callable[[socket.socket], object]) -> None:
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._at = self._listening.getsockname()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="raw server")
        self.address = f"tcp://127.0.0.1:{self._at[1]}"
        self.taken = 0

    def _run(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                if self._ending.is_set():
                    return
                self.taken += 1
                connection.settimeout(PATIENCE_S)
                with contextlib.suppress(ConnectionError):
                    self._talk(connection)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        socket.create_connection(self._at, PATIENCE_S).close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "it has not ended"
        self._listening.close()


def shake_hands(connection: socket.socket) -> RawPeer:
    """Do as a ROUTER does; return what reads and writes frames."""
    peer = RawPeer.over(connection)
    connection.sendall(RawPeer.GREETING)
    peer.read_exactly(64)
    peer.read_frame()  # the client's READY
    connection.sendall(_READY)
    return peer
