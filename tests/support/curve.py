"""Servers of pyzmq over CURVE, and the keys that they and their clients have."""

from __future__ import annotations

from typing import Any

import zmq
from support.keys import Pair, new_pair
from zmq.utils import z85

from laplace_server.client import _frames
from laplace_server.security import ClientSecurity
from laplace_server.wire import libsodium

_ZAP = "inproc://zeromq.zap.01"


class Curve:
    """Makes a ROUTER of pyzmq a server over CURVE.

    Args:
        heartbeat_ms: how often it says PING; who does not answer within a minute is closed.
        most_waiting: messages that it receives beyond those that it has taken; 0: any number.
    """

    def __init__(self, heartbeat_ms: int = 0, most_waiting: int = 0) -> None:
        self.server, self.client = new_pair(), new_pair()
        self.allowed = {self.client.public}
        self.asked: list[str] = []
        """The public keys of who has connected, allowed or not."""
        self.status = b"400"
        """Of who is not allowed."""
        self._heartbeat_ms = heartbeat_ms
        self._most_waiting = most_waiting

    def secure(self, router: zmq.Socket[Any]) -> zmq.Socket[Any]:
        """Before it is bound; return what asks who may connect, for the thread of the router."""
        router.curve_server = True
        router.curve_secretkey = self.server.secret.encode()
        router.curve_publickey = self.server.public.encode()
        router.rcvhwm = self._most_waiting
        router.sndhwm = 0
        if self._heartbeat_ms:
            router.heartbeat_ivl = self._heartbeat_ms
            router.heartbeat_timeout = 60_000
        zap = router.context.socket(zmq.REP)
        zap.bind(_ZAP)
        return zap

    def answer(self, zap: zmq.Socket[Any]) -> None:
        version, number, _domain, _address, _identity, _mechanism, key = zap.recv_multipart()
        public = z85.encode(key).decode()
        self.asked.append(public)
        status = b"200" if public in self.allowed else self.status
        zap.send_multipart([version, number, status, b"", b"", b""])

    def security(self, client: Pair | None = None, server: Pair | None = None) -> ClientSecurity:
        """Of the client and the server that know each other, or of others."""
        own, other = client or self.client, server or self.server
        return ClientSecurity(own.secret, server_key=other.public)

    def keys(self, client: Pair | None = None, server: Pair | None = None) -> _frames.ClientKeys:
        """The same for what is compiled."""
        libsodium.load(_frames.load_sodium)
        own, other = client or self.client, server or self.server
        return _frames.ClientKeys(z85.decode(own.secret), z85.decode(other.public))
