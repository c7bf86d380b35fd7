"""Bridges that are there before the stream, and when it ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from support.peers import address_of
from support.qt import needs_pyqt6, spin
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.client.subscription_protocol import SubscriptionProtocol
from laplace_server.stream import Update

pytestmark = needs_pyqt6


def test_a_stream_not_declared_comes_from_its_first_update(
    server: ServerLHC, make_bridge: Any
) -> None:
    bridge = make_bridge(server, "late", begin=False, latest_only=False)
    failures: list[str] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.updates_received.connect(got.extend)
    bridge.start()
    spin(lambda: failures)
    assert failures == ["No such stream: 'late'. There are: s."]
    assert [server.publish("late", {"n": n}) for n in (1, 2, 3)] == [1, 2, 3]
    spin(lambda: len(got) == 3)
    assert [each.seq for each in got] == [1, 2, 3]
    assert (bridge.connected, bridge.lost) == (True, 0)


def test_a_server_that_comes_late_is_followed_from_its_first_update(
    make_server: MakeServer, make_bridge: Any
) -> None:
    first = make_server()
    address = address_of(first)
    first.stop()
    bridge = make_bridge(address, begin=False, latest_only=False, timeout_s=0.1)
    failures: list[str] = []
    got: list[Update] = []
    bridge.failed.connect(failures.append)
    bridge.updates_received.connect(got.extend)
    bridge.start()
    spin(lambda: failures)
    server = make_server(address=address, start=False)
    server.declare_stream("s")
    server.publish("s", {"n": 1})
    server.start()
    spin(lambda: got)
    assert [each.seq for each in got] == [1]


def test_a_window_shows_the_newest_at_once(server: ServerLHC, make_bridge: Any) -> None:
    for n in (1, 2, 3):
        server.publish("s", {"n": n})
    bridge = make_bridge(server, begin=False, start="newest", name="display")
    got: list[Update] = []
    bridge.update_received.connect(got.append)
    bridge.start()
    spin(lambda: got)
    assert [(each.seq, each.lost_before) for each in got] == [(3, 0)]
    assert [seen.who for seen in server.stats().subscribers] == ["display"]
    server.publish("s", {"n": 4})
    spin(lambda: len(got) == 2)
    assert (bridge.shown, bridge.skipped) == (2, 0)


def test_a_bridge_goes_on_where_one_has_stopped(server: ServerLHC, make_bridge: Any) -> None:
    for n in range(1, 11):
        server.publish("s", {"n": n})
    got: list[Update] = []
    bridge = make_bridge(server, begin=False, start=(server.epoch, 4), latest_only=False)
    bridge.updates_received.connect(got.extend)
    bridge.start()
    spin(lambda: len(got) == 6)
    assert [each.seq for each in got] == [5, 6, 7, 8, 9, 10]
    assert bridge.lost == 0
    with pytest.raises(ValueError, match="'start' must be"):
        make_bridge(server, start="last")


def test_what_came_before_a_break_is_delivered(
    make_server: MakeServer, make_bridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    server.declare_stream("s")
    plain = SubscriptionProtocol.todo
    stalled = threading.Event()

    def todo(self: SubscriptionProtocol, now: float) -> Any:
        if stalled.is_set():
            stalled.clear()
            for n in range(2, 12):
                server.publish("s", {"n": n})
            server.stop()  # when it returns, all has come
        return plain(self, now)

    monkeypatch.setattr(SubscriptionProtocol, "todo", todo)
    bridge = make_bridge(server, latest_only=False)
    got: list[Update] = []
    bridge.updates_received.connect(got.extend)
    server.publish("s", {"n": 1})
    spin(lambda: got)
    stalled.set()
    spin(lambda: len(got) == 11)
    assert [each.seq for each in got] == list(range(1, 12))
    assert bridge.lost == 0
