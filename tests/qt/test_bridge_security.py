"""Bridges with keys."""

from __future__ import annotations

from typing import Any

import pytest
from support.keys import new_pair
from support.peers import PATIENCE_S, address_of
from support.qt import needs_pyqt6, spin
from support.secure import Lab

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC, stream_relay
from laplace_server.stream import Update

pytestmark = [needs_pyqt6, pytest.mark.transports("tcp")]


def test_a_bridge_with_keys(make_bridge: Any) -> None:
    lab = Lab()
    with lab.serving() as server:
        server.declare_stream("s")
        bridge = make_bridge(server, latest_only=False, security=lab.client("view"))
        got: list[Update] = []
        bridge.updates_received.connect(got.extend)
        assert [server.publish("s", {"n": n}) for n in (1, 2)] == [1, 2]
        spin(lambda: len(got) == 2)
        bridge.stop()
        with ClientLHC(
            address_of(server), timeout_s=PATIENCE_S, security=lab.client("view")
        ) as client:
            follower = make_bridge(client, latest_only=False)
            follower.stop()
            with pytest.raises(TypeError, match="a client has that of its own"):
                make_bridge(client, begin=False, security=lab.client("view"))
        with pytest.raises(TypeError, match="'security' must be a ClientSecurity"):
            make_bridge(server, begin=False, security=lab.security)


def test_a_role_that_may_follow_and_nothing_else(
    make_bridge: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent server is asked whether it is there, and "not permitted" says that it is."""
    monkeypatch.setattr(stream_relay, "_SILENCE_S", 0.2)
    follower = new_pair()
    lab = Lab()
    lab.security.allow(follower.public, {"SUBSCRIBE"}, "follower")
    with lab.serving() as server:
        server.declare_stream("s")
        bridge = make_bridge(server, begin=False, latest_only=False, security=lab.of(follower))
        states: list[bool] = []
        failures: list[str] = []
        got: list[Update] = []
        bridge.connected_changed.connect(states.append)
        bridge.failed.connect(failures.append)
        bridge.updates_received.connect(got.extend)
        bridge.start()
        for n in (1, 2):
            denied = 3 * n
            spin(lambda denied=denied: denials(server, "INFO") >= denied)
            server.publish("s", {"n": n})
            spin(lambda n=n: len(got) == n)
        assert (states, failures) == ([True], [])
        # It is there, and yet the stream is not followed any more.
        lab.security.allow(follower.public, {"GET"}, "follower")
        spin(lambda: states == [True, False])
        assert failures == ["not permitted: the role 'GET' may not use 'SUBSCRIBE'"]
        lab.security.allow(follower.public, {"SUBSCRIBE"}, "follower")
        spin(lambda: states == [True, False, True])
        assert len(failures) == 1


def denials(server: ServerLHC, cmd: str) -> int:
    return sum(counts.get(cmd, 0) for counts in server.stats().not_permitted.values())


def test_a_key_that_is_refused_and_allowed_later(make_bridge: Any) -> None:
    lab = Lab()
    stranger = new_pair()
    with lab.serving() as server:
        server.declare_stream("s")
        bridge = make_bridge(
            server, begin=False, latest_only=False, timeout_s=0.3, security=lab.of(stranger)
        )
        failures: list[str] = []
        bridge.failed.connect(failures.append)
        bridge.start()
        spin(lambda: failures)
        assert "it does not allow this client's key" in failures[0]
        lab.security.allow(stranger.public, "view", "late")
        spin(lambda: bridge.connected)
