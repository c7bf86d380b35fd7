"""Two relays, the broker and the device killed, restarted and frozen, while somebody follows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest
from relay.test_kills import RELAY
from support import ports
from support.isolated import Child
from support.machine import WINDOWS, within
from support.nats import Broker, needs_nats
from support.nats_store import StoredEpoch, ledger_of, stored_ids, totals
from support.serving import MakeServer
from support.stream_accounts import Account
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.relay import follow
from laplace_server.relay.records import Kind

pytestmark = needs_nats

MakeChild = Callable[..., Child]


class Device(threading.Thread):
    """Publishes in one life after the other."""

    def __init__(self, make_server: MakeServer) -> None:
        super().__init__(name="device")
        self.ending = threading.Event()
        self.lives: dict[int, int] = {}
        self._make_server = make_server
        self._lock = threading.Lock()
        self._address = ports.own_address()
        self._server: ServerLHC | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.stop()
                self._server.join()
            self._server = self._make_server(name="camera", address=self._address)
            self._server.declare_stream("s", history_bytes=64 << 20)
            self.lives[self._server.epoch] = 0

    def run(self) -> None:
        large = "x" * 1_500_000  # in pieces
        while not self.ending.wait(0.01):
            with self._lock:
                assert self._server is not None
                for _ in range(20):
                    n = self.lives[self._server.epoch] + 1
                    data = {"n": n} if n % 500 else {"n": n, "text": large}
                    self.lives[self._server.epoch] = self._server.publish("s", data)

    @property
    def source(self) -> str:
        return f"camera={self._address}/s"


class Reader(threading.Thread):
    """Follows from the oldest update on, and keeps an account."""

    def __init__(self, url: str) -> None:
        super().__init__(name="reader")
        self.ending = threading.Event()
        self.account = Account()
        self.count = 0
        self.failure: BaseException | None = None
        self._url = url

    def run(self) -> None:
        try:
            with follow(self._url, "camera", "s", start="oldest") as updates:
                while not self.ending.is_set():
                    try:
                        found = updates.take(0.2)
                    except TimeoutError:
                        continue
                    for update in found:
                        self.account.take(update)
                    self.count += len(found)
        except BaseException as failure:
            self.failure = failure


@pytest.mark.slow
@pytest.mark.timeout(within(300))
def test_everything_at_once(make_server: MakeServer, broker: Broker, make_child: MakeChild) -> None:
    chance = random.Random(20)
    device, reader = Device(make_server), Reader(broker.url)
    relays = [make_child(RELAY, broker.url, device.source) for _ in range(2)]
    device.start()
    reader.start()
    try:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.2, 1.5))  # when something happens
            what = chance.choice(["relay", "relay", "broker", "device", "pause"])
            if what == "relay":
                killed = chance.randrange(2)
                relays[killed].close()
                relays[killed] = make_child(RELAY, broker.url, device.source)
            elif what == "broker":
                broker.kill()
                broker.start()
            elif what == "device":
                device.begin_anew()
            elif not WINDOWS:
                broker.freeze(True)
                time.sleep(chance.uniform(0.0, 2.0))
                broker.freeze(False)
        device.ending.set()
        device.join()
        last = list(device.lives.items())[-1]
        assert eventually(lambda: _end_of(broker) == last, within(60))
        epochs = ledger_of(stored_ids(broker.url, "camera", "s"))
        _adds_up(epochs, device.lives)
        assert eventually(lambda: reader.count >= totals(epochs)[0] or reader.failure, within(60))
    finally:
        device.ending.set()
        reader.ending.set()
        reader.join()
        device.join()
    assert reader.failure is None
    assert reader.count == totals(epochs)[0]


def _end_of(broker: Broker) -> tuple[int, int]:
    ids = stored_ids(broker.url, "camera", "s")
    return ids[-1].epoch, ids[-1].last


def _adds_up(epochs: list[StoredEpoch], lives: dict[int, int]) -> None:
    for each in epochs:
        assert each.first == 1 or each is epochs[0]
        assert each.updates + each.lost == each.next - each.first
        if each.end is not Kind.CUT:
            assert each.next == lives[each.epoch] + 1
