"""``laplace-server stream`` and ``record`` of what a relay has brought to NATS."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import failed, run
from support.machine import within
from support.nats import Broker, needs_nats
from support.peers import address_of
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server.relay import NatsRelay

with contextlib.suppress(ImportError):  # which begins a thread that no test leaves behind
    import numpy  # noqa: F401

pytestmark = needs_nats


@pytest.fixture
def laser(make_server: MakeServer, tmp_path: Path) -> Iterator[str]:
    """The URL of a device in NATS with two streams of 100 updates."""
    server = make_server(name="Laser 2")
    broker = Broker(tmp_path / "n1").start()
    for n in range(1, 101):
        server.publish("s", {"n": n})
        server.publish("a/b", {"n": n})
    sources = [(address_of(server), "s"), (address_of(server), "a/b")]
    try:
        with NatsRelay(broker.url, sources, site="hall 1") as relay:
            wait_until(
                lambda: [each.last for each in relay.stats().sources] == [100, 100],
                "all is stored",
                within(10),
            )
            yield f"{broker.url}/Laser%202"
    finally:
        broker.kill()


SITE = ("--site", "hall 1")


def test_a_stream_is_shown(laser: str, home: Path) -> None:
    whole = ("--start", "oldest", "--count", "100", "--json")
    done = run("stream", f"{laser}/a%2Fb", *whole, *SITE)
    assert (done.stderr, done.returncode) == ("", 0)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["stream"], each["seq"]) for each in lines] == [("a/b", n + 1) for n in range(100)]
    newest = ("--start", "newest", "--latest-only", "--count", "1")
    done = run("stream", laser, "s", *newest, *SITE)
    assert done.stdout.startswith("1 update received") or "#100" in done.stdout
    several = failed("stream", laser, *SITE, status=1)
    assert several.endswith("several streams. Name one after the address:\n  a/b\n  s\n")


def test_it_is_recorded(laser: str, home: Path, tmp_path: Path) -> None:
    recording = pytest.importorskip("laplace_server.recording")
    path = tmp_path / "r.h5"
    done = run("record", laser, "-o", str(path), "--seconds", "2", *SITE)
    assert (done.stderr, done.returncode) == ("", 0)
    assert "200 updates recorded, 0 lost" in done.stdout
    with recording.open(path) as opened:
        assert {name: stream.rows for name, stream in opened["Laser 2"].items()} == {
            "a/b": 100,
            "s": 100,
        }


def test_what_is_not_there(laser: str, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("laplace_server.recording")
    text = "NATS has no stream of a device 'Laser 3' yet; there are: Laser 2"
    wrong = laser.replace("Laser%202", "Laser%203")
    options = ("--timeout", "2", *SITE)
    assert failed("stream", f"{wrong}/s", *options, status=1) == f"laplace-server: {text}.\n"
    done = run("record", wrong, "-o", str(tmp_path / "r.h5"), "--seconds", "1", *SITE)
    assert text in done.stderr


@pytest.mark.parametrize(
    ("where", "options", "status", "text"),
    [
        ("nats://127.0.0.1:9", (), 2, "is not nats://HOST:PORT/DEVICE/STREAM"),
        ("nats://127.0.0.1:9/a/b/c", (), 2, "is not nats://HOST:PORT/DEVICE/STREAM"),
        ("nats://h:1/x,nats://127.0.0.1:9/a/b", (), 2, "must be nats://HOST:PORT"),
        ("nats://127.0.0.1:9/a/b", (), 1, "no connection to NATS"),
        ("nats://127.0.0.1:9/a/b", ("--key", "k"), 2, "--key is for a server"),
        ("nats://127.0.0.1:9/a/b", ("--cert", "f"), 2, "--cert and --cert-key belong together"),
        ("nats://127.0.0.1:9/a/b", ("--domain", "a.b"), 2, " --domain must be letters"),
    ],
)
def test_what_cannot_be_followed(
    home: Path, where: str, options: tuple[str, ...], status: int, text: str
) -> None:
    assert text in failed("stream", where, "--timeout", "0.5", *options, status=status)
