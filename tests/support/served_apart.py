"""A server in another process, where an attack's cost is seen and limits can be lowered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import psutil
from support.isolated import Child
from support.machine import within
from support.peers import request
from support.raw_peers import RawPeer

SCRIPT = """
import json, logging, resource, sys, threading, time
from laplace_server import ServerLHC

arguments, before = json.loads(sys.argv[1]), sys.argv[2]
logging.getLogger("laplace.server").setLevel(logging.CRITICAL)
exec(before)
defaults = {"name": "apart", "address": "tcp://127.0.0.1:*", "freedom": 1, "device": "MOTOR"}
server = ServerLHC(**{**defaults, "data": {"x": [1]}, **arguments})
server.register_handler("ECHO", lambda server, message, target: message["payload"])
server.start()
print(server.server_port, flush=True)
for line in sys.stdin:
    try:
        print(json.dumps(eval(line)), flush=True)
    except SyntaxError:
        exec(line)
        print("null", flush=True)
"""


class ServedApart:
    """Clients take it for a server. ``before`` is run in its process before it makes the server."""

    def __init__(self, before: str = "", **arguments: Any) -> None:
        self.child = Child(SCRIPT, json.dumps(arguments), before)
        try:
            self.server_port = self.child.hear()
        except BaseException:
            self.child.close()
            raise
        self.address = f"tcp://127.0.0.1:{self.server_port}"
        self.process = psutil.Process(self.child.process.pid)

    def __enter__(self) -> ServedApart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        """It must have lived until now, and end by itself."""
        try:
            if kind is None:
                self.run("server.stop()")
                assert self.run("server.join(10) or server.is_alive()") is False
        finally:
            self.child.close()

    def run(self, line: str) -> Any:
        """What an expression is there, or do what a statement says."""
        self.child.tell(line)
        return json.loads(self.child.hear())

    def count(self, what: str) -> int:
        """One of stats(), such as ``connections`` or ``refused.MESSAGE_SIZE``."""
        name, _, key = what.partition(".")
        if not key:
            return int(self.run(f"server.stats().{name}"))
        return int(self.run(f"{{k.name: v for k, v in server.stats().{name}.items()}}[{key!r}]"))

    def resident(self) -> int:
        return int(self.process.memory_info().rss)

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


def answers_at_once(server: Any, seconds: float = 0.1) -> None:
    """The next client is answered without delay, with its connecting and its handshake.

    A machine that stood still gets a second try.
    """
    took = 0.0
    for _ in range(3):
        begun = time.monotonic()
        with RawPeer(server) as peer:
            peer.send(request("PING"))
            assert peer.receive()["payload"] == {"PING": "PONG"}
        took = time.monotonic() - begun
        if took < within(seconds):
            return
    raise AssertionError(f"answered after {took:.3f} s only")


MakeApart = Callable[..., ServedApart]
