"""While a callback takes its time: SUBSCRIBE, and GET ARRAYS where there is no ``on_get``."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import zmq
from support.peers import PATIENCE_S, Peer
from support.serving import serving
from support.stream_peers import WirePeer
from support.waiting import wait_until

from laplace_server import ServerLHC


class Busy:
    """A server whose ``on_position_changed`` lasts until it is told to end."""

    def __init__(self, server: ServerLHC) -> None:
        self.server = server
        self.threads: list[str] = []  # where the program's code ran
        self._begun, self._over = threading.Event(), threading.Event()
        server.on_position_changed = self._set

    def _set(self, positions: Any) -> None:
        self.threads.append(threading.current_thread().name)
        self._begun.set()
        assert self._over.wait(PATIENCE_S)
        self.server.publish("s", {"set": positions})

    def begin(self, peer: Peer) -> None:
        """Have the callback run, for a peer that gets its answer at the end."""
        peer.send("SET", {"positions": [1]})
        assert self._begun.wait(PATIENCE_S)

    def end(self) -> None:
        self._over.set()


@pytest.fixture
def server() -> Iterator[ServerLHC]:
    with serving(data={"a": np.arange(3)}) as server:
        server.declare_stream("s")
        yield server


@pytest.fixture
def busy(server: ServerLHC) -> Iterator[Busy]:
    busy = Busy(server)
    yield busy
    busy.end()


@pytest.fixture
def setter(server: ServerLHC) -> Iterator[Peer]:
    with Peer(server, zmq.DEALER) as peer:
        yield peer


def wanted(number: int, stream: str = "s") -> dict[str, Any]:
    return {"stream": stream, "subscription": number, "start": "latest", "messages": 1, "bytes": 1}


def pending(server: ServerLHC, count: int) -> None:
    wait_until(lambda: server.stats().queue_depth == count, f"{count} requests wait")


# ---- what is not held up


def test_subscribe_is_answered_and_followed(server: ServerLHC, busy: Busy, setter: Peer) -> None:
    busy.begin(setter)
    with WirePeer(server) as peer:
        subscriber = peer.subscribe("s")
        assert server.publish("s", {"n": 1}) == 1
        peer.read_until(lambda: subscriber.sent == 1, "the update")
        refused = peer.ask("SUBSCRIBE", wanted(2, stream="none"))
        assert "No such stream" in refused["error_msg"]
        assert "missing keys" in peer.ask("SUBSCRIBE", {})["error_msg"]
        data = peer.subscribe("data", number=3)  # declared by this
        server.set_data({"n": 2})
        peer.read_until(lambda: data.sent == 1, "the data")
        assert server.stats().commands["SUBSCRIBE"].python == 4
        busy.end()
        peer.read_until(lambda: subscriber.sent == 2, "what the callback published")
    assert setter.receive()["error_msg"] is None


def test_get_arrays_is_answered(server: ServerLHC, busy: Busy, setter: Peer) -> None:
    busy.begin(setter)
    with Peer(server) as peer:
        peer.send("GET ARRAYS")
        assert peer.receive_frames()[-1] == np.arange(3).tobytes()
    busy.end()
    assert setter.receive()["error_msg"] is None


def test_it_is_logged_as_before(
    server: ServerLHC, busy: Busy, setter: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    busy.begin(setter)
    with caplog.at_level(logging.DEBUG, "laplace.server"), WirePeer(server) as peer:
        subscriber = peer.subscribe("s")
        with Peer(server) as other:
            other.send("GET ARRAYS", sender="other")
            other.receive_frames()
    levels = {
        record.getMessage(): record.levelno
        for record in caplog.records
        if "Received" in record.getMessage()
    }
    begin = f"[Server {server.name}] Received"
    assert levels == {
        f"{begin} 'SUBSCRIBE' from {subscriber.who!r}.": logging.INFO,
        f"{begin} 'GET ARRAYS' from 'other'.": logging.DEBUG,
    }


def test_live_data_is_refreshed_beside_many_such_requests(server: ServerLHC) -> None:
    """Neither keeps the other from the thread that they share."""
    data = {"n": 0, "a": np.arange(10)}
    server.set_data(data)
    over = threading.Event()

    def ask_for_arrays() -> None:
        with Peer(server) as peer:
            while not over.is_set():
                peer.send("GET ARRAYS")
                assert len(peer.receive_frames()) == 2

    askers = [threading.Thread(target=ask_for_arrays) for _ in range(3)]
    for asker in askers:
        asker.start()
    with Peer(server) as peer:
        for n in range(1, 30):
            data["n"] = n
            assert peer.get()["n"] == n
    over.set()
    for asker in askers:
        asker.join(PATIENCE_S)
        assert not asker.is_alive()
    assert server.stats().stale_gets == 0


# ---- what keeps its order


def test_one_peer_is_answered_in_order(server: ServerLHC, busy: Busy, setter: Peer) -> None:
    """Its SUBSCRIBE sees what the callback before it has published, and comes before the next."""
    busy.begin(setter)
    setter.send("SUBSCRIBE", wanted(1))
    setter.send("SET", {"positions": [2]})
    setter.send("SUBSCRIBE", wanted(2))
    pending(server, 4)
    assert busy.threads == [server.name]
    busy.end()
    assert setter.receive()["cmd"] == "SET"
    assert setter.receive()["payload"]["next"] == 2
    # Of the first one, what the second callback published; which comes first, the network says.
    later = [setter.receive_frames()[1] for _ in range(3)]
    answers = [json.loads(body) for body in later if body[:1] == b"{"]
    assert [answer["cmd"] for answer in answers] == ["SET", "SUBSCRIBE"]
    assert answers[1]["payload"]["next"] == 3


# ---- what may run the program's code


@pytest.mark.parametrize("cmd", ["SUBSCRIBE", "GET ARRAYS"])
def test_a_programs_own_handler_stays_in_its_thread(
    server: ServerLHC, busy: Busy, setter: Peer, cmd: str
) -> None:
    def handler(server: ServerLHC, message: Any, target: Any) -> dict[str, Any]:
        busy.threads.append(threading.current_thread().name)
        return {"mine": True}

    server.register_handler(cmd, handler)
    busy.begin(setter)
    with Peer(server) as peer:
        peer.send(cmd, wanted(1))
        pending(server, 2)
        assert len(busy.threads) == 1
        busy.end()
        assert peer.receive()["payload"] == {"mine": True}
    assert busy.threads == [server.name] * 2


def test_on_get_stays_in_its_thread(server: ServerLHC, busy: Busy, setter: Peer) -> None:
    server.on_get = lambda: busy.threads.append(threading.current_thread().name)
    busy.begin(setter)
    with Peer(server) as peer:
        peer.send("GET ARRAYS")
        pending(server, 2)
        assert len(busy.threads) == 1
        busy.end()
        assert len(peer.receive_frames()) == 2
    assert busy.threads == [server.name] * 2


def test_data_of_a_class_is_read_in_its_thread() -> None:
    class Device(ServerLHC):
        threads: ClassVar[list[str]] = []

        @property
        def data(self) -> dict[str, Any]:
            self.threads.append(threading.current_thread().name)
            return {"mine": 1}

    with serving(kind=Device) as server, Peer(server) as peer:
        Device.threads.clear()
        peer.send("GET ARRAYS")
        assert b"mine" in peer.receive_frames()[0]
        assert Device.threads == [server.name]


def test_a_stop_while_they_wait(server: ServerLHC, busy: Busy, setter: Peer) -> None:
    busy.begin(setter)
    setter.send("SUBSCRIBE", wanted(1))
    pending(server, 2)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    assert "stopping" in setter.receive()["error_msg"]
    assert "stopping" in setter.receive()["error_msg"]
    busy.end()
    stopper.join(PATIENCE_S)
    assert not stopper.is_alive()


# ---- how old a stream is


def test_the_answer_tells_the_age_of_the_stream() -> None:
    before = time.monotonic()
    with serving() as server:
        server.declare_stream("first")
        declared = time.monotonic()
        with WirePeer(server) as peer:
            assert 0 <= peer.subscribe("data").answer["age_s"] <= time.monotonic() - declared
            server.declare_stream("first", history_bytes=1000)  # is no other one
            server.publish("first", {})
            asked = time.monotonic()
            age_s = peer.subscribe("first").answer["age_s"]
            assert asked - declared <= age_s <= time.monotonic() - before
