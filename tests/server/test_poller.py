"""The switch by which servers wait on Linux as they do on other systems."""

from __future__ import annotations

import os
import sys

import pytest
from support.peers import Peer
from support.serving import serving

pytestmark = [
    pytest.mark.transports("tcp"),
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is one way to wait"),
]


def open_epolls() -> int:
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventpoll]"
        except FileNotFoundError:  # that of the folder itself
            continue
    return found


@pytest.mark.parametrize(("poller", "epolls"), [("", 1), ("poll", 0)], ids=["best", "poll"])
def test_a_server_waits_by(poller: str, epolls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPLACE_POLLER", poller)
    before = open_epolls()
    with serving() as server:
        assert open_epolls() - before == epolls
        with Peer(server) as peer:
            assert peer.ask("PING")["error_msg"] is None
