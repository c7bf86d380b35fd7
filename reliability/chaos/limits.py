"""Devices without descriptors, and without memory."""

from __future__ import annotations

import contextlib

from reliability.common.cast import Cast
from reliability.common.peers import RawPeer, connect, greet, request
from reliability.common.resources import MIB, Resources
from reliability.common.scenario import Scenario
from reliability.common.stage import Stage
from reliability.common.traffic import flows

SPARE_DESCRIPTORS = 10
NEWCOMERS = 40
SPARE_MEMORY = 64 * MIB
LARGE = 32 * MIB
SENDERS = 6


def no_descriptors(stage: Stage, times: int) -> None:
    """Connect more peers than it has descriptors for; later, somebody new is served again."""
    asked = RawPeer.GREETING + RawPeer.ready()
    asked += RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING"))
    most = Resources.of(stage.device.process).descriptors + SPARE_DESCRIPTORS
    stage.device.ask(do="limit", name="RLIMIT_NOFILE", value=most)
    for _ in range(times):
        with contextlib.ExitStack() as opened:
            for _ in range(NEWCOMERS):
                peer = opened.enter_context(contextlib.closing(connect(stage.address)))
                with contextlib.suppress(ConnectionError):
                    peer.sendall(asked)
            flows(stage)
        with greet(stage.address) as peer:
            peer.send(request("PING"))
            assert peer.receive()["payload"] == {"PING": "PONG"}
    stage.device.ask(do="limit", name="RLIMIT_NOFILE", value=None)


def no_memory(stage: Stage, times: int) -> None:
    """Send more than it has memory for."""
    said = RawPeer.frame(b"", more=True) + RawPeer.frame(bytes(LARGE))
    most = stage.device.process.memory_info().vms + SPARE_MEMORY
    stage.device.ask(do="limit", name="RLIMIT_AS", value=most)
    for _ in range(times):
        with contextlib.ExitStack() as opened:
            peers = [opened.enter_context(greet(stage.address)) for _ in range(SENDERS)]
            for peer in peers:
                with contextlib.suppress(ConnectionError):
                    peer.socket.sendall(said[:-1])  # it stays there
            flows(stage)
        flows(stage)
    refused = stage.device.ask(do="refused")["NO_MEMORY"]
    assert refused >= times, f"memory was short {refused} times only"
    stage.device.ask(do="limit", name="RLIMIT_AS", value=None)


SCENARIOS = (
    Scenario(
        "limits-descriptors",
        f"{NEWCOMERS} newcomers, and descriptors for {SPARE_DESCRIPTORS}",
        10,
        no_descriptors,
    ),
    Scenario(
        "limits-memory",
        f"{SENDERS} messages of {LARGE // MIB} MiB, and an address space of {SPARE_MEMORY // MIB}",
        10,
        no_memory,
        cast=Cast(server={"callback_errors": "reply"}),
    ),
)
