"""``laplace-server relay``."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.command_line import CLI, LIMIT_S, failed
from support.machine import APART, INTERRUPT, WINDOWS
from support.nats import Broker, needs_nats
from support.nats_store import ledger_of, stored_ids, stream_config, totals
from support.peers import address_of
from support.updates import publish

from laplace_server import ServerLHC
from laplace_server.cli.quantities import read_duration, read_size


def relaying(*arguments: str) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **APART}
    return subprocess.Popen([*CLI, "relay", *arguments], text=True, **pipes)


@needs_nats
@pytest.mark.parametrize("number", [INTERRUPT] if WINDOWS else [INTERRUPT, signal.SIGTERM])
def test_relay_until_a_signal(server: ServerLHC, home: Path, tmp_path: Path, number: int) -> None:
    publish(server, 1, 50)
    broker = Broker(tmp_path / "n1").start()
    options = ["--site", "hall 1", "--keep", "2d", "--keep-bytes", "1GB", "--json"]
    source = f"camera={address_of(server)}/s"
    try:
        with relaying(broker.url, source, *options) as process:
            try:
                assert process.stdout is not None
                while json.loads(process.stdout.readline())["sources"][0]["updates"] < 50:
                    pass
                process.send_signal(number)
                output, errors = process.communicate(timeout=LIMIT_S)
            finally:
                process.kill()
        assert (process.returncode, errors) == (0, "")
        counted = json.loads(output.splitlines()[-1])["sources"][0]
        assert (counted["subject"], counted["lost"]) == ("lhc.hall%201.camera.s", 0)
        assert totals(ledger_of(stored_ids(broker.url, "camera", "s", "hall 1"))) == (50, 0)
        config = stream_config(broker.url, "lhc+hall%201+camera+s")
        assert (config.max_age, config.max_bytes) == (2 * 86400, 10**9)
    finally:
        broker.kill()


@needs_nats
def test_what_it_says_to_people(server: ServerLHC, home: Path, tmp_path: Path) -> None:
    publish(server, 1, 5)
    broker = Broker(tmp_path / "n1")
    with relaying(broker.url, f"{address_of(server)}/s") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "Relaying 1 stream (Ctrl-C ends it).\n"
            assert process.stderr is not None
            assert (
                "is not relayed at the moment: no connection to NATS" in process.stderr.readline()
            )
            process.send_signal(INTERRUPT)
            output, _ = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert "/s: 0 updates stored, 0 lost (no connection to NATS" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["localhost", "tcp://h:1/s"], " NATS must be nats://HOST:PORT"),
        (["nats://h", "tcp://h:1"], "is not ADDRESS/STREAM"),
        (["nats://h", "h:1/s", "--keep", "7"], "--keep is a time such as 90s"),
        (["nats://h", "h:1/s", "--keep-bytes", "many"], "--keep-bytes is a size such as"),
        (["nats://h", "h:1/s", "--cert", "x"], "--cert and --cert-key belong together"),
        (["nats://h", "h:1/s", "--ca", "missing.pem"], "The files of --ca, --cert"),
        (["nats://h", "h:1/s", "--replicas", "9"], " --replicas must be"),
        (["nats://h", "h:1/s", "--keep", "0s"], " --keep must be 0.1 s at least"),
        (["nats://h", "h:1/s", "--keep-bytes", "0"], " --keep-bytes must be from 1"),
        (["nats://h", "h:1/s", "--site", ""], " --site must not be empty"),
        (["nats://h", "h:1/s", "--prefix", ">"], " --prefix must be words"),
        (["nats://h", "h:1/s", "--domain", "a.b"], " --domain must be letters"),
    ],
)
def test_wrong_arguments(home: Path, arguments: list[str], message: str) -> None:
    pytest.importorskip("nats")
    assert message in failed("relay", *arguments, status=2)


def test_times_and_sizes() -> None:
    times = {"90s": 90, "1.5m": 90, "2 h": 7200, "7d": 604800}
    assert {text: read_duration("--keep", text) for text in times} == times
    sizes = {"5": 5, "5B": 5, "1.5kb": 1500, "20 GB": 20 * 10**9, "2TB": 2 * 10**12}
    assert {text: read_size("--keep-bytes", text) for text in sizes} == sizes
