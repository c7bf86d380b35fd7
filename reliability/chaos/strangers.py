"""Peers that are killed in the middle of a frame, that are slow, or that speak something else."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import time
from collections.abc import Iterator

from reliability.common.cast import Cast
from reliability.common.peers import RawPeer, connect, greet, request
from reliability.common.resources import MIB
from reliability.common.scenario import Scenario
from reliability.common.setting import ALL
from reliability.common.stage import Stage
from reliability.common.traffic import flows, wait_until

CONNECTIONS = 20
HANDSHAKE_MS = 2000


def killed_mid_frame(stage: Stage, times: int) -> None:
    """Kill a process with twenty connections, each cut short at another byte."""
    for seed in range(times):
        with stage.helper("half_speaker", connections=CONNECTIONS, seed=seed) as peer:
            peer.hear()
            peer.kill()
    flows(stage)


def byte_wise(stage: Stage, times: int) -> None:
    """Send each byte by itself, on twenty connections in turn; each is answered."""
    said = RawPeer.GREETING + RawPeer.ready()
    said += RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING"))
    for _ in range(times):
        with contextlib.ExitStack() as opened:
            peers = [
                opened.enter_context(contextlib.closing(connect(stage.address)))
                for _ in range(CONNECTIONS)
            ]
            for place in range(len(said)):
                for each in peers:
                    each.sendall(said[place : place + 1])
            for each in peers:
                peer = RawPeer.over(each)
                peer.read_exactly(64)
                peer.read_frame()
                assert peer.receive()["payload"] == {"PING": "PONG"}
    flows(stage)


def slow(stage: Stage, times: int) -> None:
    """Take longer over the handshake than it may, and over a request as long as one likes."""
    with contextlib.ExitStack() as opened:
        strangers = []
        for number in range(times):
            stranger = opened.enter_context(contextlib.closing(connect(stage.address)))
            stranger.sendall(RawPeer.GREETING[: number % len(RawPeer.GREETING)])
            strangers.append(stranger)
        peers = [opened.enter_context(greet(stage.address)) for _ in range(CONNECTIONS)]
        said = RawPeer.frame(b"", more=True) + RawPeer.frame(request("PING"))
        pause_s = 2 * HANDSHAKE_MS / 1000 / len(said)
        for place in range(len(said)):
            for peer in peers:
                peer.socket.sendall(said[place : place + 1])
            time.sleep(pause_s)
        for peer in peers:
            assert peer.receive()["payload"] == {"PING": "PONG"}
        for stranger in strangers:
            assert is_closed(stranger), "a stranger is still there after its time"
    flows(stage)


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side ends a connection, whatever it says before."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def foreign_words() -> Iterator[bytes]:
    """Yield what browsers, scanners and other programs begin with, again and again."""
    tls = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(*tls, server_hostname="device")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    chance = random.Random(1)
    fixed = (
        b"GET / HTTP/1.1\r\nHost: device\r\n\r\n",
        tls[1].read(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"*IDN?\n" * 20,
    )
    while True:
        yield from fixed
        yield chance.randbytes(200)


def other_protocols(stage: Stage, times: int) -> None:
    """Say them; the device closes, and nobody else notices."""
    words = foreign_words()
    for _ in range(times):
        with contextlib.closing(connect(stage.address)) as stranger:
            said = next(words)
            with contextlib.suppress(OSError):  # closed already
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
            assert is_closed(stranger), f"not closed after {said[:20]!r}"
    flows(stage)


def never_read(stage: Stage, times: int) -> None:
    """Ask for large data, as often as the system takes it, and read nothing."""
    asked = RawPeer.frame(b"", more=True) + RawPeer.frame(request("GET"))
    with contextlib.ExitStack() as opened:
        for _ in range(times):
            peer = opened.enter_context(greet(stage.address))
            peer.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000):
                    peer.socket.sendall(asked)
        flows(stage)
    wait_until(
        lambda: stage.device.ask(do="connections")["count"] <= 2 * len(stage.witnesses) + 1,
        "those that have gone are forgotten",
    )


SCENARIOS = (
    Scenario(
        "strangers-killed",
        f"clients with {CONNECTIONS} connections killed mid-frame",
        20,
        killed_mid_frame,
        ALL,
    ),
    # libzmq itself closes most such connections, those to a bare ROUTER too.
    Scenario("strangers-byte-wise", f"{CONNECTIONS} byte-wise senders", 10, byte_wise),
    Scenario(
        "strangers-slow",
        f"senders too slow for a handshake, beside {CONNECTIONS} whose request takes 4 s",
        200,
        slow,
        cast=Cast(server={"handshake_timeout_ms": HANDSHAKE_MS}),
    ),
    Scenario(
        "strangers-other", "HTTP, TLS, SSH, SCPI, random bytes on the port", 600, other_protocols
    ),
    Scenario(
        "strangers-deaf",
        "peers that ask 2,000 times for 200 KiB and never read",
        20,
        never_read,
        cast=Cast(server={"max_waiting_bytes": MIB}, data_values=40_000),
        memory=128 * MIB,
    ),
)
