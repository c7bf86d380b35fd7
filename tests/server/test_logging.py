"""The log: who answers never depends on it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest
from support.peers import Connect, Peer
from support.serving import MakeServer
from support.waiting import LIMIT_S, eventually

from laplace_server.client import ClientLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.stats import CommandStats, ErrorKind
from laplace_server.wire.logs import Log

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
        client.ask(cmd, sender="someone")
        assert eventually(lambda cmd=cmd: server.stats().commands[cmd] == CommandStats(1, 0))  # type: ignore[misc]
    wanted = ["PING", "GET", "INFO"] if level == logging.DEBUG else []

    def logged() -> list[str]:
        texts = records.with_text("Answered", "someone")
        return [cmd for text in texts for cmd in ("PING", "GET", "INFO") if cmd in text]

    assert eventually(lambda: logged() == wanted)
    client.ask("SCAN")  # by now Python has had its turn
    assert logged() == wanted


def ping_until(client: Peer, condition: Callable[[], object]) -> bool:
    """The loop asks for the level now and then, when it has an answer to tell of."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        client.ask("PING")
        if condition():
            return True
    return False


def test_the_level_may_change_at_run_time(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.INFO)
    client = connect(make_server())
    client.ask("PING")
    assert not records.with_text("Answered")
    LOG.setLevel(logging.DEBUG)
    assert ping_until(client, lambda: records.with_text("Answered", "PING"))
    LOG.setLevel(logging.INFO)
    client.ask("SCAN")
    records.texts.clear()
    for _ in range(20):
        client.ask("PING")
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
        client.ask("PING")
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
    client.ask("SCAN", sender="scanner")
    assert records.with_text("Received", "SCAN", "scanner", "tested")
    client.ask("NONE")
    client.ask("PING", version="1")
    client.ask("SET")
    assert records.with_text("Unknown command", "NONE")
    assert records.with_text("version mismatch")
    assert records.with_text("Payload missing keys")


def test_polling_says_nothing_at_info(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.INFO)
    server = make_server()
    client = connect(server)
    client.ask("SCAN")
    records.texts.clear()
    for cmd in ("PING", "GET", "INFO") * 10:
        client.ask(cmd)
    server.set_on_get(lambda: None)
    client.ask("GET")
    client.ask("OPT", {"data": 1})
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
        assert client.ask("PING", sender=sender)["to"] == sender
    assert eventually(lambda: len(records.with_text("Answered")) == 4)
    assert all(len(text) < 500 and "\n" not in text for text in records.with_text("Answered"))


# ---- logs that fail


class Failing(logging.Handler):
    """A window that is gone, a full disk, a program that wants to end."""

    def __init__(self, problem: BaseException) -> None:
        super().__init__()
        self.problem = problem

    def emit(self, record: logging.LogRecord) -> None:
        raise self.problem

    def filter(self, record: logging.LogRecord) -> bool:
        return True


class FailingFilter(Failing):
    def filter(self, record: logging.LogRecord) -> bool:
        raise self.problem


def raises(*arguments: object, **named: object) -> NoReturn:
    raise RuntimeError("broken")


def break_with_handler(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
    patch.setattr(LOG, "handlers", [Failing(problem)])


def break_with_handler_of_the_root(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
    patch.setattr(logging.getLogger(), "handlers", [Failing(problem)])


def break_with_filter_of_a_handler(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
    patch.setattr(LOG, "handlers", [FailingFilter(problem)])


def break_with_filter(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
    patch.setattr(LOG, "filters", [FailingFilter(problem)])


def break_with_record_factory(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
    patch.setattr(logging, "_logRecordFactory", raises)


def break_with_method(name: str) -> Callable[[pytest.MonkeyPatch, BaseException], None]:
    def break_it(patch: pytest.MonkeyPatch, problem: BaseException) -> None:
        patch.setattr(LOG, name, raises)

    return break_it


BREAKS = {
    "handler": break_with_handler,
    "handler of the root": break_with_handler_of_the_root,
    "filter of a handler": break_with_filter_of_a_handler,
    "filter": break_with_filter,
    "record factory": break_with_record_factory,
    **{name: break_with_method(name) for name in ("isEnabledFor", "log", "handle", "makeRecord")},
}
PROBLEMS = {
    "handler": [
        RuntimeError("wrapped C/C++ object has been deleted"),
        SystemExit(1),
        GeneratorExit(),
    ]
}


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG], ids=logging.getLevelName)
@pytest.mark.parametrize(
    ("how", "problem"),
    [(how, problem) for how in BREAKS for problem in PROBLEMS.get(how, [RuntimeError("gone")])],
    ids=str,
)
def test_a_log_that_fails_changes_nothing(
    make_server: MakeServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    problem: BaseException,
    level: int,
) -> None:
    monkeypatch.setattr(LOG, "level", level)
    LOG.manager._clear_cache()  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        BREAKS[how](patch, problem)
        check_that_all_works(make_server, connect)
    LOG.manager._clear_cache()  # type: ignore[attr-defined]


def check_that_all_works(make_server: MakeServer, connect: Connect) -> None:
    for wrong in ({"device": "X"}, {"freedom": -1}, {"address": "x"}, {"address": "tcp://*:x"}):
        with pytest.raises(ValueError, match=r"Invalid|must"):
            make_server(start=False, **wrong)
    server = make_server(address="tcp://*:*", data={"x": 1})
    client = connect(server)
    moved: list[object] = []
    server.set_on_position_changed(moved.append)
    for cmd in ("PING", "GET", "INFO"):
        assert client.ask(cmd)["error_msg"] is None
    for n in (1, 2):
        reply = client.ask("SET", {"positions": n})
        assert (reply["error_msg"], reply["msg"]) == (None, "Positions updated.")
    assert moved == [1, 2]
    server.set_on_get(lambda: server.set_data({"x": 2}))
    assert client.get() == {"x": 2}
    server.set_on_get(None)

    def failing(value: object) -> None:
        raise ValueError("v")

    server.on_opt = failing
    assert client.ask("OPT", {"data": 1})["error_msg"] is None
    assert client.info()["callback_errors"] == {"on_opt": 1}
    refused = {
        "Payload missing keys: ['positions'].": client.ask("SET"),
        "Unknown command": client.ask("NONE"),
        "Protocol version mismatch: expected 0.2.2, got 1.": client.ask("PING", version="1"),
        "'message' must contain 'from' field.": client.ask("PING", sender=None),
    }
    for text, reply in refused.items():
        assert reply["error_msg"] == text
    server.register_handler("RAISES", lambda *_: failing(1))
    assert client.ask("RAISES")["error_msg"] == "ValueError: v"
    with ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=LIMIT_S) as other:
        with other.subscribe("data") as updates:
            server.set_data({"x": 3})
            assert updates.next(LIMIT_S).data == {"x": 3}
        assert server.publish("s", {"y": 1}) == 1
        with other.subscribe("s", start="oldest") as updates:
            assert updates.next(LIMIT_S).data == {"y": 1}
    assert client.get() == {"x": 3}
    server.emit("on_opt", 1)
    server.stop()
    assert not server.is_alive()
    assert server.publish("s", {"y": 1}) == 0
    server.stop()


def test_ctrl_c_passes_in_the_main_thread_only(
    make_server: MakeServer, connect: Connect, records: Records
) -> None:
    LOG.setLevel(logging.DEBUG)
    failing = Failing(KeyboardInterrupt())
    server = make_server()
    client = connect(server)
    moved: list[object] = []
    server.set_on_position_changed(moved.append)
    LOG.addHandler(failing)
    try:
        for n in range(3):
            assert client.ask("SET", {"positions": n})["error_msg"] is None
        with pytest.raises(KeyboardInterrupt):
            Log(LOGGER_NAME).error("as when it is pressed while this is written")
    finally:
        LOG.removeHandler(failing)
    assert moved == [0, 1, 2]
    assert records.with_text("as when it is pressed")
