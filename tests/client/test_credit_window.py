"""How many messages a subscription allows: few, and as many as a long path needs."""

from __future__ import annotations

import math

import pytest
from support.protocol_scene import Scene
from support.stream_messages import ALIVE, answer, updates, word

from laplace_server.client.credit_window import FEW, Window

pytestmark = pytest.mark.transports()

ROUND_TRIP_S = 0.064


class Path:
    """A subscription and its server, which publishes at a rate and has as much as it may send.

    What either side says arrives half of the round trip later.
    """

    def __init__(self, round_trip_s: float, per_s: float, **arguments: object) -> None:
        self.half_s = round_trip_s / 2
        self.scene = scene = Scene(granted=False, **arguments)
        asked = scene.ask()
        scene.now += round_trip_s
        scene.take(answer())
        self.begun_at = scene.now
        self.per_s = per_s
        self.allowed: int = asked["messages"]
        self.sent = self.most = 0
        self.to_server: list[tuple[float, int]] = []
        self.to_client: list[tuple[float, int]] = []

    def run(self, seconds: float, *, taking_s: float = 0.0) -> int:
        """Let time pass, taking an update each ``taking_s``; say how many have been taken."""
        scene, taken, step_s = self.scene, 0, 1 / 1024
        free_at = scene.now
        for _ in range(round(seconds / step_s)):
            scene.now += step_s
            while self.to_server and self.to_server[0][0] <= scene.now:
                self.allowed = self.to_server.pop(0)[1]
            published = int((scene.now - self.begun_at) * self.per_s)
            while self.sent < min(published, self.allowed):
                self.sent += 1
                self.to_client.append((scene.now + self.half_s, self.sent))
            while self.to_client and self.to_client[0][0] <= scene.now and free_at <= scene.now:
                n = self.to_client.pop(0)[1]
                assert scene.got(updates(n, n)) == [(n, 0)]
                taken += 1
                free_at = scene.now + taking_s
                credit = scene.credit()
                if credit is not None:
                    self.to_server.append((scene.now + self.half_s, credit["messages"]))
                    self.most = max(self.most, credit["messages"] - n)
        return taken


def test_few_messages_are_allowed_over_a_short_path() -> None:
    path = Path(1 / 1024, per_s=500)
    assert path.run(2.0) >= 990
    assert path.most == FEW


def test_a_long_path_is_filled() -> None:
    """With few messages it would bring 16 in a round trip."""
    path = Path(ROUND_TRIP_S, per_s=1000)
    path.run(1.0)
    assert path.run(1.0) >= 1000
    on_the_way = 1000 * ROUND_TRIP_S
    assert 2 * on_the_way <= path.scene.protocol._session.window.messages <= 4 * on_the_way


def test_who_takes_slowly_allows_few_over_a_short_path() -> None:
    path = Path(1 / 1024, per_s=1000)
    path.run(5.0, taking_s=1 / 64)
    assert path.most == FEW


def test_who_takes_slowly_again_allows_few_again() -> None:
    """What the long path holds by then still comes, and was allowed."""
    path = Path(ROUND_TRIP_S, per_s=1000)
    path.run(1.0)
    assert path.most > 4 * FEW
    path.run(20.0, taking_s=1 / 32)
    path.most = 0
    path.run(5.0, taking_s=1 / 32)
    assert path.most == FEW


def test_a_subscription_to_the_latest_allows_one_at_a_time_over_any_path() -> None:
    path = Path(ROUND_TRIP_S, per_s=1000, latest_only=True)
    path.run(2.0)
    assert path.most == 1


def test_a_pause_is_no_round_trip() -> None:
    path = Path(ROUND_TRIP_S, per_s=100)
    path.run(1.0)
    path.scene.now += 3600.0
    path.begun_at += 3600.0
    path.run(1.0)
    assert path.scene.protocol._session.window.round_trip_s <= 1.5 * ROUND_TRIP_S


def test_a_new_connection_begins_with_few() -> None:
    path = Path(ROUND_TRIP_S, per_s=1000)
    path.run(1.0)
    path.scene.gone()
    assert path.scene.ask()["messages"] == FEW
    path.scene.take(answer(next=path.scene.protocol.ledger.following))
    assert path.scene.protocol._session.granted == (FEW, 1 << 20)


def test_a_coarse_clock_makes_no_round_trip_too_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what comes within one of its ticks nobody knows how quickly it came."""
    monkeypatch.setattr("laplace_server.client.credit_window.TICK_S", 1 / 64)
    window = Window(FEW, 1000).asked(5.0).granted(5.0)
    assert window.round_trip_s == 1 / 64
    window = window.adapt(5.0, 2 * FEW, 3 * FEW)
    assert (window.round_trip_s, window.messages) == (1 / 64, 6 * FEW)


def test_an_answer_that_is_read_again_is_no_round_trip() -> None:
    """As after an exception out of a signal handler."""
    window = Window(FEW, 1000).asked(5.0).granted(6.0)
    assert window.granted(6.0) == window


def test_words_measure_nothing() -> None:
    scene = Scene()
    window = scene.protocol._session.window
    for _ in range(10):
        scene.now += 1.0
        scene.take(word(ALIVE))
        assert scene.credit() is not None
    assert scene.protocol._session.window == window
    assert not math.isinf(window.round_trip_s)
