"""A folder of keys that changes while servers run, or does not answer."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq
from support.forked import Forked
from support.keys import keys_of, put_key, server_folder
from support.peers import PATIENCE_S, Peer, ask
from support.rights import PAYLOAD, denial, logged
from support.serving import make, serving
from support.waiting import wait_until

from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity, reading, watch
from laplace_server.security import folder as folders
from laplace_server.stats import Refusal

pytestmark = pytest.mark.transports("tcp")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return server_folder(tmp_path / "stage-keys")


def test_a_change_is_seen_and_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    security = ServerSecurity.from_folder(folder, anonymous="view")
    with (
        caplog.at_level(logging.INFO, LOGGER_NAME),
        serving(security=security),
        serving(security=security),
    ):
        told = "serves 0 keys, and clients without a key (view)."
        wait_until(lambda: len(logged(caplog, told)) == 2, "both say whom they serve")
        put_key(folder, "view", "anna")
        wait_until(lambda: security.allowed, "it is read")
        wait_until(lambda: len(logged(caplog, "'anna' (view) is new.")) == 2, "both are told")


def test_what_is_wrong_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    anna = put_key(folder, "operate", "anna")
    security = ServerSecurity.from_folder(folder)
    looks = threading.Semaphore(0)
    look = security.reload_if_changed

    def counted() -> Any:
        looks.release()
        return look()

    monkeypatch.setattr(security, "reload_if_changed", counted)
    wrong = folder / "allowed/operate/wrong.key"

    def told() -> int:
        return len(
            logged(caplog, "does not count", "all else there counts", "wrong.key is no certificate")
        )

    with caplog.at_level(logging.INFO, LOGGER_NAME), serving(security=security):
        for text in ("half a fi", "half a file"):
            before = told()
            wrong.write_text(text)
            wait_until(lambda before=before: told() > before, "it is told")
            for _ in range(5):
                assert looks.acquire(timeout=PATIENCE_S)
            assert told() <= before + 2  # it may be seen half written, too
        assert list(security.allowed) == [anna.public]
        wrong.unlink()
        bert = put_key(folder, "view", "bert")
        wait_until(lambda: bert.public in security.allowed, "the right thing is taken")


def test_a_folder_that_does_not_answer_holds_up_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = ServerSecurity.from_folder(folder, anonymous="view")
    asked, answers = threading.Event(), threading.Event()
    state_of = reading.state_of

    def wait_for_the_network(folder: Path) -> Any:
        asked.set()
        assert answers.wait(PATIENCE_S)
        return state_of(folder)

    monkeypatch.setattr(reading, "state_of", wait_for_the_network)
    try:
        with serving(security=security, data={"a": 1}) as server:
            server.declare_stream("s")
            server.set_on_position_changed(lambda _: security.allow_anonymous("view"))
            assert asked.wait(PATIENCE_S)
            assert ask(server, "GET")["payload"]["data"] == {"a": 1}
            assert ask(server, "GET ARRAYS")["error_msg"] is None
            security.allow_anonymous("operate")
            assert ask(server, "SET", {"positions": [1]})["error_msg"] is None
            assert ask(server, "SET", {"positions": [1]})["error_msg"] == denial("SET")
            make(security=security).stop()
        # And it has ended, thread and all.
    finally:
        answers.set()


def test_a_server_that_has_ended_is_told_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    security = ServerSecurity.from_folder(folder, anonymous="view")
    never_started = make(security=security)
    never_started.stop()
    with serving(security=security) as server:
        pass
    with caplog.at_level(logging.INFO, LOGGER_NAME):
        security.allow_anonymous(None)
    assert not logged(caplog)
    assert not server.is_alive()


def test_who_is_revoked_is_disconnected_while_something_else_is_wrong(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    display = put_key(folder, "view", "display")
    security = ServerSecurity.from_folder(folder)
    own = folder / "stage.key_secret"
    with (
        caplog.at_level(logging.INFO, LOGGER_NAME),
        serving(security=security) as server,
        Peer(server, options=keys_of(display, security.public_key)) as peer,
    ):
        assert peer.ask("PING")["error_msg"] is None
        own.rename(folder / "elsewhere")
        folders.revoke(folder, "display")
        wait_until(lambda: server.stats().refused[Refusal.WITHDRAWN] == 1, "it is disconnected")
        wait_until(lambda: logged(caplog, "no key of the server", level=logging.ERROR), "and told")
        assert logged(caplog, "'display' (view) is removed.")
        mended = "is right again"
        assert not logged(caplog, mended)
        (folder / "elsewhere").rename(own)
        wait_until(lambda: len(logged(caplog, mended, level=logging.WARNING)) == 1, "it is told")


def test_a_role_of_ones_own_is_called_by_its_name(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    robot = put_key(folder, "scans", "robot")
    (folder / "allowed/scans/commands.txt").write_text("SCAN\nGET\n")
    security = ServerSecurity.from_folder(folder)
    with caplog.at_level(logging.INFO, LOGGER_NAME), serving(security=security) as server:
        with Peer(server, options=keys_of(robot, security.public_key)) as peer:
            assert peer.ask("GET")["error_msg"] is None
            assert peer.ask("SET", PAYLOAD)["error_msg"] == denial("SET", "scans")
        put_key(folder, "scans", "arm")
        wait_until(lambda: logged(caplog, "'arm' (scans) is new"), "it is read")
        assert logged(caplog, "the role 'scans' of 'robot' (")
        # The role has its name also where nobody has it any more.
        folders.revoke(folder, "robot")
        folders.revoke(folder, "arm")
        wait_until(lambda: not security.allowed, "they are removed")
        assert server.stats().not_permitted == {"scans": {"SET": 1}}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_serves_by_the_same_object(folder: Path) -> None:
    """Also where the parent was just reading, changing and telling: what it held, nobody holds."""
    anna = put_key(folder, "operate", "anna")
    security = ServerSecurity.from_folder(folder, anonymous="view")

    def serve() -> None:
        with serving(security=security) as server, zmq.Context() as context:
            options = keys_of(anna, security.public_key)
            with Peer(server, context=context, options=options) as peer:
                assert peer.ask("SET", PAYLOAD)["error_msg"] is None
                security.revoke("anna")
                put_key(folder, "view", "bert")
                wait_until(lambda: len(security.allowed) == 2, "the child looks by itself")

    with serving(security=security) as server:
        ask(server, "PING")
        with security._lock, security._watch._condition, Forked(serve):
            pass
        assert anna.public in security.allowed
        assert ask(server, "SET", PAYLOAD)["error_msg"] == denial("SET")


def test_many_changes_are_told_in_a_short_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    security = ServerSecurity.from_folder(folder)
    for number in range(30):
        put_key(folder, "view", f"key {number}")
    with caplog.at_level(logging.INFO, LOGGER_NAME), serving(security=security):
        security.reload()
        wait_until(lambda: len(security.allowed) == 30, "they are read")
        wait_until(lambda: logged(caplog, "; 10 other changes."), "it is told")
