"""The wire format of docs/streams.md, to the byte, by a client of plain pyzmq."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
import zmq
from support.peers import PATIENCE_S, Peer, request
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

CREDIT, LEAVE = 16, 17


def control(kind: int, *, number: int = 1, messages: int = 16, size: int = 1 << 20) -> bytes:
    return struct.pack("<4sBBHIIQQQ", b"\0LHC", 1, kind, 0, number, 0, messages, size, 1)


def frames_of(peer: Peer, alive: bool = False) -> list[bytes]:
    """The next message of a stream; the server's "alive", each second, counts only if asked for."""
    while True:
        frames = peer.receive_frames()
        if alive or frames[1][5] != 2:
            return frames


def subscribe_request(**changes: Any) -> bytes:
    payload = {"stream": "s", "subscription": 1, "start": "latest", "messages": 4, "bytes": 1000}
    return request("SUBSCRIBE", {**payload, **changes})


def test_the_frames_to_the_byte(server: ServerLHC) -> None:
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request(subscription=7))
        payload = peer.receive()["payload"]
        assert payload.pop("age_s") > 0
        assert payload == {
            "stream": "s",
            "epoch": server.epoch,
            "first": 1,
            "last": 0,
            "next": 1,
        }
        server.publish("s", {"a": 1}, timestamp=2.5)
        empty, body = frames_of(peer)
        assert empty == b""
        assert body == (
            struct.pack("<4sBBHIIQQQQQQ", b"\0LHC", 1, 1, 0, 7, 1, server.epoch, 1, 1, 0, 0, 1)
            + struct.pack("<d", 2.5)
            + b'[{"a":1}]'
        )
        server.publish("s", {"b": np.array([1, 2], "<u2")}, timestamp=3.5)
        _, body, array = frames_of(peer)
        assert body == (
            struct.pack("<4sBBHIIQQQQQQ", b"\0LHC", 1, 1, 1, 7, 1, server.epoch, 2, 2, 0, 0, 2)
            + struct.pack("<d", 3.5)
            + b'[{"b":null},[{"path":["b"],"dtype":"<u2","shape":[2]}]]'
        )
        assert array == b"\1\0\2\0"


def test_no_more_messages_than_allowed(server: ServerLHC) -> None:
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request(messages=2))
        peer.receive()
        for n in range(1, 3):
            server.publish("s", {"n": n})
            assert frames_of(peer)[1].endswith(b'[{"n":%d}]' % n)
        server.publish("s", {"n": 3})
        server.publish("s", {"n": 4})
        assert peer.silent()
        peer.send(control(CREDIT, messages=3))
        assert frames_of(peer)[1].endswith(b'[{"n":3},{"n":4}]')


def test_after_leaving_nothing_comes(server: ServerLHC) -> None:
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request())
        peer.receive()
        peer.send(control(LEAVE))
        wait_until(lambda: server._core.streams.ledgers() == [], "it has left")
        server.publish("s", {})
        assert peer.silent()
        peer.send(control(CREDIT))
        header = frames_of(peer)[1]
        assert (header[5], struct.unpack_from("<I", header, 8)) == (4, (1,))  # unknown


def test_a_quiet_stream_says_so(server: ServerLHC) -> None:
    server.publish("s", {})
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request())
        peer.receive()
        header = frames_of(peer, alive=True)[1]
        fields = struct.unpack("<4sBBHIIQQQQQQ", header)
        assert fields == (b"\0LHC", 1, 2, 0, 1, 0, server.epoch, 2, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": 5},
        {"stream": ["s"]},
        {"subscription": -1},
        {"subscription": 2**32},
        {"messages": 1.5},
        {"bytes": "many"},
        {"bytes": 2**64},
        {"start": 2**70},
        {"subscription": None},
    ],
    ids=str,
)
def test_a_wrong_subscription_is_refused(server: ServerLHC, changes: dict[str, Any]) -> None:
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request(**changes))
        assert peer.receive()["error_msg"]
        peer.send(request("SUBSCRIBE", 5))
        assert peer.receive()["error_msg"]
        assert server._core.streams.ledgers() == []


def test_words_that_are_none_are_no_harm(server: ServerLHC) -> None:
    whole = control(CREDIT)
    words = [whole[:n] for n in range(0, 40, 3)] + [whole + b"x", whole[:5] + b"\xff" + whole[6:]]
    with Peer(server, zmq.DEALER) as peer:
        for word in words:
            peer.send(word)
            assert peer.receive()["error_msg"]  # as for whatever is no JSON
        peer.send(request("PING"))
        assert peer.receive()["payload"] == {"PING": "PONG"}


def test_what_strict_json_lacks_is_marked(server: ServerLHC) -> None:
    """So that a subscriber may read the rest with any parser, as fast as it can."""
    loose: list[dict[str, Any]] = [
        {"a": math.nan},
        {"a": [{"b": -math.inf}]},
        {"a": 2**64},
        {"a": -(2**63) - 1},
        {"a": "\ud800"},
        {"\ud800": 1},
        {"\ud800": np.zeros(1)},
    ]
    strict: list[dict[str, Any]] = [
        {"a": 1.5},
        {"a": 2**64 - 1, "b": -(2**63)},
        {"a": [np.array([math.nan])]},
        {"a": {"é": "\U0001f600"}, "b": (None, True)},
        {math.nan: 1},
    ]
    server.declare_stream("s", history_bytes=0)  # each in a block of its own
    with Peer(server, zmq.DEALER) as peer:
        peer.send(subscribe_request(messages=100, bytes=1 << 20))
        peer.receive()
        for kind, all_of_it in ((5, loose), (1, strict)):
            for data in all_of_it:
                server.publish("s", {**data, "pad": "p" * 300})
                assert frames_of(peer)[1][5] == kind, data
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
        with client.subscribe("s") as subscription:
            for data in (*loose[:-1], strict[1]):
                server.publish("s", data)
                assert repr(subscription.next(PATIENCE_S).data) == repr(data)
