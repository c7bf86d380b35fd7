"""Many threads at a server that stops and starts again: ``python threaded_stress.py --rounds 9``.

For the sanitizers: a program of its own, without pytest, bounded by what it does and not by time.
Each round has a server on one port, every other one with keys; threads that set data, publish,
ask, follow and configure at once; and a stop in the midst of it, after which the next server takes
the port. Fails where a thread does, where something hangs, and where a follower's account of an
epoch is not right.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import zmq

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError, RequestTimeout
from laplace_server.security import ClientSecurity, ServerSecurity

PATIENCE_S = 60.0
TURNS = 40  # what each thread does in a round, in its own measure
# What a client may be told while its server stops, or its key comes and goes.
EXPECTED = (RequestTimeout, RemoteError, ConnectionError)


class Keys:
    """Those of the server, of its clients, and of one that comes and goes."""

    def __init__(self) -> None:
        (public, secret), (client, client_secret), (guest, _) = (
            [key.decode() for key in zmq.curve_keypair()] for _ in range(3)
        )
        self.guest = guest
        self.server = ServerSecurity(secret_key=secret, allowed={client: "admin"})
        self.client = ClientSecurity(client_secret, server_key=public)

    def change(self) -> None:
        self.server.allow(self.guest, "view")
        self.server.revoke(self.guest)


class Round:
    """One address, two servers after each other, and the threads that use them."""

    def __init__(self, address: str, keys: Keys | None) -> None:
        self.keys = keys
        self.failures: list[BaseException] = []
        self.answers = self.updates = 0
        self.server = self.make(address)
        self.address = f"tcp://127.0.0.1:{self.server.server_port}"
        self.over = threading.Event()
        security = None if keys is None else keys.client
        self.client = ClientLHC(self.address, timeout_s=5.0, security=security)

    def make(self, address: str) -> ServerLHC:
        server = ServerLHC(
            "device",
            address,
            1,
            "MOTOR",
            {"x": [0]},
            refresh_timeout_ms=5000,
            security=None if self.keys is None else self.keys.server,
        )
        server.set_on_position_changed(lambda position: server.set_data({"x": [position]}))
        server.register_handler("ECHO", lambda s, message, target: message["payload"])
        server.declare_stream("shots", history_bytes=1 << 16)
        server.declare_stream("images", history_count=3, policy="block", block_timeout_s=0.05)
        return server

    def run(self) -> None:
        with self.client:
            self.server.start()
            follow = [self.guarded(self.follow, name) for name in ("shots", "images", "data")]
            work = [
                self.guarded(self.repeat, each)
                for each in (
                    self.ask,
                    self.ask,
                    self.ask_alone,
                    self.set_data,
                    self.publish,
                    self.publish,
                    self.look,
                    self.configure,
                    self.leave_early,
                )
            ]
            for thread in follow + work:
                thread.start()
            self.replace()
            self.join(work)
            self.over.set()
            self.stop()
            self.join(follow)
        if self.failures:
            raise self.failures[0]

    def replace(self) -> None:
        """Stop the server while all work, and start another in its place."""
        deadline = time.monotonic() + PATIENCE_S
        while self.answers < TURNS and not self.failures and time.monotonic() < deadline:
            time.sleep(0.001)
        self.stop()
        self.server = self.make(self.address)
        self.server.start()

    def stop(self) -> None:
        """From two threads at once."""
        other = threading.Thread(target=self.server.stop)
        other.start()
        self.server.stop()
        self.join([other, self.server])

    # ---- threads

    def guarded(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as problem:
                self.failures.append(problem)

        return threading.Thread(target=run, name=f"{work.__name__} {arguments}", daemon=True)

    def repeat(self, work: Callable[[int], None]) -> None:
        for turn in range(TURNS):
            with contextlib.suppress(*EXPECTED):
                work(turn)

    @staticmethod
    def join(threads: list[threading.Thread]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                faulthandler.dump_traceback()
                raise AssertionError(f"a thread does not end: {thread.name}")

    # ---- what clients do

    def ask(self, turn: int) -> None:
        """Two threads with one client, so that they share its connections."""
        assert "x" in self.client.get()
        self.client.set(turn)
        assert self.client.request("ECHO", {"turn": turn}) == {"turn": turn}
        self.client.ping()
        self.client.info()
        self.client.get(arrays=True)
        self.answers += 1

    def ask_alone(self, turn: int) -> None:
        with ClientLHC(self.address, timeout_s=5.0, security=self.client_security) as client:
            client.get()
            with contextlib.suppress(TimeoutError):
                client.set(turn, timeout_s=0.001)

    def leave_early(self, turn: int) -> None:
        with self.client.subscribe("shots", start="oldest", latest_only=bool(turn % 2)) as shots:
            with contextlib.suppress(TimeoutError):
                shots.next(timeout=0.01)

    def follow(self, stream: str) -> None:
        """Take updates to the end, and see that the numbers add up."""
        last: dict[int, int] = {}
        deadline = time.monotonic() + PATIENCE_S
        with self.client.subscribe(stream, start="oldest") as updates:
            while not (self.over.is_set() and updates.server_ended):
                assert time.monotonic() < deadline, f"{stream} has no end: {updates.trouble}"
                with contextlib.suppress(TimeoutError):
                    update = updates.next(timeout=0.1)
                    before = last.get(update.epoch, update.seq - 1 - update.lost_before)
                    assert update.seq == before + 1 + update.lost_before, update
                    last[update.epoch] = update.seq
                    self.updates += 1
            for epoch in updates.ended:
                assert epoch.received + epoch.lost == epoch.last - epoch.first + 1, epoch

    # ---- what the program around the server does

    def set_data(self, turn: int) -> None:
        kept = {"x": [turn], "image": np.full((64, 64), turn)}
        self.server.set_data(kept, copy=bool(turn % 2))
        kept["x"][0] = -turn
        kept["image"][0] = -turn
        self.server.set_data({"x": [turn, float("nan")]})
        assert "x" in self.server.data

    def publish(self, turn: int) -> None:
        for number in range(10):
            self.server.publish("shots", {"turn": turn, "number": number})
        given = np.full((128, 128), float(turn))
        self.server.publish("images", {"turn": turn, "image": given}, copy=False)
        self.server.publish("images", {"image": np.zeros((8, 8))[:, ::2]})

    def look(self, turn: int) -> None:
        stats = self.server.stats()
        assert stats.queue_depth >= 0
        assert isinstance(stats.subscribers, (list, tuple))
        assert isinstance(self.server.data, dict)

    def configure(self, turn: int) -> None:
        server = self.server
        server.set_on_get(lambda: None)
        server.register_handler("OTHER", lambda s, message, target: {})
        server.set_name_list([str(turn)])
        server.name = f"device {turn}"
        server.set_on_get(None)
        if self.keys is not None:
            self.keys.change()

    @property
    def client_security(self) -> ClientSecurity | None:
        return None if self.keys is None else self.keys.client


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, help="of the switch intervals (default: a random one)")
    options = parser.parse_args()
    seed = random.randrange(1 << 30) if options.seed is None else options.seed
    print(f"{options.rounds} rounds, seed {seed}", flush=True)
    intervals = random.Random(seed)
    faulthandler.enable()
    answers = updates = 0
    for number in range(options.rounds):
        sys.setswitchinterval(intervals.choice((1e-6, 1e-5, 1e-4, 5e-3)))
        each = Round("tcp://127.0.0.1:*", Keys() if number % 2 else None)
        each.run()
        answers += each.answers
        updates += each.updates
    print(f"nothing broken: {answers} times all requests, {updates} updates")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
