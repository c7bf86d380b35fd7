"""What waits for room in a connection leaves as soon as there is some."""

from __future__ import annotations

import contextlib
import sys

import pytest
from support.peers import PATIENCE_S, request
from support.raw_peers import RawPeer
from support.served_apart import ServedApart
from support.standstill import go_on, stand_still
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process is stopped there")

SIZE = 200_000
ASKED = 200


def drain(peer: RawPeer, seconds: float) -> int:
    """Bytes that it is sent until nothing comes for so long."""
    peer.socket.settimeout(seconds)
    count = 0
    with contextlib.suppress(TimeoutError):
        while data := peer.socket.recv(1 << 20):
            count += len(data)
    return count


def test_room_that_comes_with_the_request_of_another():
    """The poller tells of both at once, of the request first: nothing else may be needed."""
    with (
        ServedApart(max_waiting_bytes=512 * 1024) as server,
        RawPeer(server) as other,
        RawPeer(server) as deaf,
    ):
        server.run(f"server.set_data({{'x': 'y' * {SIZE}}}, copy=True)")
        other.send(request("PING"))
        assert other.receive()["error_msg"] is None
        for _ in range(ASKED):
            deaf.send(request("GET"))
        wait_until(lambda: server.count("parked_bytes") > 0, "replies wait for room")
        before = server.count("errors.REPLY_OVERFLOW")
        stand_still(server.process.pid)
        try:
            other.send(request("PING"))
            left = drain(deaf, 0.2)
        finally:
            go_on(server.process.pid)
        other.socket.settimeout(PATIENCE_S)
        assert other.receive()["error_msg"] is None
        left += drain(deaf, 1.0)
        assert server.count("errors.REPLY_OVERFLOW") == before
        assert left > (ASKED - before) * SIZE
