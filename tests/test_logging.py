"""The log: who answers never depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from raw_client import RawClient

from conftest import LIMIT_S, Connect, MakeServer, eventually
from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import CommandStats, ErrorKind

LOG = logging.getLogger(LOGGER_NAME)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    def with_text(self, *parts: str) -> list[str]:
        return [text for text in self.texts if all(part in text for part in parts)]


@pytest.fixture
def records() -> Iterator[Records]:
    handler = Records()
    level = LOG.level
    LOG.addHandler(handler)
    yield handler
    LOG.removeHandler(handler)
    LOG.setLevel(level)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.CRITICAL])
def test_native_answers_stay_native_at_any_level(
    make_server: MakeServer, connect: Connect, records: Records, level: int
) -> None:
    LOG.setLevel(level)
    server = make_server()
    client = connect(server)
    for cmd in ("PING", "GET", "INFO"):
        client.request(cmd, **{"from": "someone"})
        assert eventually(lambda cmd=cmd: server.stats().commands[cmd] == CommandStats(1, 0))  # type: ignore[misc]
    wanted = ["PING", "GET", "INFO"] if level == logging.DEBUG else []

    def logged() -> list[str]:
        texts = records.with_text("Answered", "someone")
        return [cmd for text in texts for cmd in ("PING", "GET", "INFO") if cmd in text]

    assert eventually(lambda: logged() == wanted)
    client.request("SCAN")  # by now Python has had its turn
    assert logged() == wanted


def ping_until(client: RawClient, condition: Callable[[], object]) -> bool:
    """The loop asks for the level now and then, when it has an answer to tell of."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        client.request("PING")
        if condition():
            return True
    return False


def test_the_level_may_change_at_run_time(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.INFO)
    client = connect(make_server())
    client.request("PING")
    assert not records.with_text("Answered")
    LOG.setLevel(logging.DEBUG)
    assert ping_until(client, lambda: records.with_text("Answered", "PING"))
    LOG.setLevel(logging.INFO)
    client.request("SCAN")
    records.texts.clear()
    for _ in range(20):
        client.request("PING")
    assert not records.with_text("Answered")


def test_records_that_do_not_fit_are_dropped_and_counted(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.DEBUG)
    server = make_server()
    begun, release = threading.Event(), threading.Event()

    def on_set(positions: object) -> None:
        begun.set()
        assert release.wait(20)

    server.set_on_position_changed(on_set)
    busy, client = connect(server), connect(server)
    busy.send("SET", {"positions": 1})
    assert begun.wait(20)
    count = 1500
    for _ in range(count):
        client.request("PING")
    dropped = server.stats().errors[ErrorKind.LOG_DROPPED]
    assert 0 < dropped < count
    assert eventually(lambda: server.stats().commands["PING"] == CommandStats(count, 0))
    release.set()
    busy.receive()
    assert eventually(lambda: len(records.with_text("Answered", "PING")) == count - dropped)


def test_requests_for_python_are_logged(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.INFO)
    server = make_server()
    client = connect(server)
    client.request("SCAN", **{"from": "scanner"})
    assert records.with_text("Received", "SCAN", "scanner", "tested")
    client.request("NONE")
    client.request("PING", version="1")
    client.request("SET")
    assert records.with_text("Unknown command", "NONE")
    assert records.with_text("version mismatch")
    assert records.with_text("Payload missing keys")


def test_polling_says_nothing_at_info(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.INFO)
    server = make_server()
    client = connect(server)
    client.request("SCAN")
    records.texts.clear()
    for cmd in ("PING", "GET", "INFO") * 10:
        client.request(cmd)
    server.set_on_get(lambda: None)
    client.request("GET")
    client.request("OPT", {"data": 1})
    assert [text for text in records.texts if "OPT" not in text] == []


def test_life_is_logged(make_server: MakeServer, records: Records) -> None:
    LOG.setLevel(logging.INFO)
    server = make_server()
    assert eventually(lambda: records.with_text("Listening", server.address))
    server.stop()
    assert records.with_text("Stopped")


def test_an_odd_sender_in_the_log(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.DEBUG)
    client = connect(make_server())
    for sender in ("é" * 200, {"a": [1]}, "\ud800", "\n" * 5):
        assert client.request("PING", **{"from": sender})["to"] == sender
    assert eventually(lambda: len(records.with_text("Answered")) == 4)
    assert all(len(text) < 500 and "\n" not in text for text in records.with_text("Answered"))


def test_a_log_handler_that_fails_ends_nothing(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    LOG.setLevel(logging.DEBUG)
    server = make_server()
    client = connect(server)
    client.request("PING")
    failing = Failing()
    LOG.addHandler(failing)
    try:
        for cmd in ("PING", "GET", "SCAN", "NONE", "PING", "SCAN"):
            assert client.request(cmd)["cmd"] == cmd
    finally:
        LOG.removeHandler(failing)
    assert client.request("SCAN")["error_msg"] is None
    assert server.is_alive()
