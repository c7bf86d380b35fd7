"""Where the loop sleeps, others send in its place: it is woken for what clients send."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

import pytest
from support.peers import request
from support.raw_peers import RawPeer
from support.serving import serving

from laplace_server import ServerLHC

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts switches of threads"),
    pytest.mark.transports("tcp"),
]

COUNT = 300
EVERYTHING = {"stream": "s", "subscription": 7, "start": "latest"}
CREDIT = {"messages": 10**9, "bytes": 10**12}


def threads() -> set[int]:
    return {int(path.name) for path in Path("/proc/self/task").iterdir()}


class Sleeps:
    """How often the threads of a server have gone to sleep, but for its own in Python."""

    def __init__(self, before: set[int], server: ServerLHC) -> None:
        self._threads = threads() - before - {server.native_id}

    def count(self) -> int:
        found = 0
        for each in self._threads:
            with contextlib.suppress(FileNotFoundError):
                status = Path(f"/proc/self/task/{each}/status").read_text()
                found += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        return found


def test_updates_are_sent_without_waking_it():
    before = threads()
    with serving(spin_us=0) as server, RawPeer(server) as subscriber:
        sleeps = Sleeps(before, server)
        server.declare_stream("s")
        subscriber.send(request("SUBSCRIBE", {**EVERYTHING, **CREDIT}))
        assert subscriber.receive()["error_msg"] is None
        begun = sleeps.count()
        for number in range(COUNT):
            time.sleep(0.001)  # the pace at which they may go so
            server.publish("s", {"x": number})
            assert len(subscriber.receive_frames()) == 2
        # Its word each second is the loop's.
        assert sleeps.count() - begun < COUNT / 2
        assert server.stats().subscribers[0].sent == COUNT


def test_replies_are_sent_without_waking_it():
    before = threads()
    with serving(spin_us=0) as server, RawPeer(server) as peer:
        sleeps = Sleeps(before, server)
        server.declare_stream("s")
        server.set_on_position_changed(lambda _: None)
        peer.send(request("SUBSCRIBE", {**EVERYTHING, **CREDIT}))  # so that something is due
        assert peer.receive()["error_msg"] is None
        begun = sleeps.count()
        for _ in range(COUNT):
            peer.send(request("SET", {"positions": 1}))
            assert peer.receive()["error_msg"] is None
        assert sleeps.count() - begun < 1.6 * COUNT  # once for each request
