"""What devices may answer, and what a fleet makes of it."""

from __future__ import annotations

from typing import Any

import pytest
from support.fleets import QUICK
from support.peers import PATIENCE_S
from support.scripted_server import JsonAnswer, ScriptedServer, answering, reply_to
from support.waiting import wait_until

from laplace_server.fleet import Fleet, follower

pytestmark = pytest.mark.usefixtures("nothing_left_behind")


class Scripted:
    """A device whose answers a test changes; None: it says nothing to that command."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {"PING": {"PING": "PONG"}, "INFO": {"name": "it"}, **answers}
        self.asked: list[str] = []

    def __call__(self, message: dict[str, Any]) -> list[Any]:
        self.asked.append(message["cmd"])
        answer = self.answers.get(message["cmd"], {})
        if answer is None:
            return []
        if isinstance(answer, str):
            return [reply_to(message, error_msg=answer)]
        return [reply_to(message, answer)]


def serving(answer: JsonAnswer) -> ScriptedServer:
    return ScriptedServer(answering(answer))


@pytest.fixture
def quick_info(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "INFO_PERIOD_S", 0.02)


@pytest.mark.usefixtures("quick_info")
def test_another_epoch_is_another_life_though_the_connection_holds() -> None:
    device = Scripted(INFO={"name": "it", "epoch": 1})
    with serving(device) as server, Fleet([server.address], **QUICK) as fleet:
        fleet.save("/a")
        assert fleet.wait(PATIENCE_S) == {}
        device.answers["INFO"] = {"name": "it", "epoch": 2}
        wait_until(lambda: fleet[server.address].joined == 2, "it joins again")
        assert fleet.wait(PATIENCE_S) == {}
        assert device.asked.count("SAVE") == 2


@pytest.mark.usefixtures("quick_info")
def test_news_of_a_device_are_told_and_silence_changes_nothing() -> None:
    device = Scripted()
    with serving(device) as server, Fleet([server.address], **{**QUICK, "timeout_s": 0.2}) as fleet:
        assert fleet.wait(PATIENCE_S) == {}
        device.answers["INFO"] = {"name": "renamed"}
        wait_until(lambda: fleet[server.address].name == "renamed", "it has another name")
        device.answers["INFO"] = None
        device.asked.clear()
        wait_until(lambda: device.asked.count("INFO") == 2, "it was asked in vain")
        device.answers["INFO"] = "not permitted: INFO"
        wait_until(lambda: device.asked.count("INFO") == 4, "it was refused")
        assert (fleet[server.address].name, fleet[server.address].joined) == ("renamed", 1)


@pytest.mark.parametrize("info", [None, "not permitted: INFO", {}, {"name": 5}])
def test_a_device_need_not_say_what_it_is(info: Any) -> None:
    device = Scripted(INFO=info)
    with serving(device) as server, Fleet([server.address], **{**QUICK, "timeout_s": 0.2}) as fleet:
        assert fleet.wait(PATIENCE_S) == {}
        assert fleet[server.address].name == server.address


@pytest.mark.parametrize("text", ["not permitted: PING", "Protocol version mismatch"])
def test_one_that_answers_with_an_error_is_not_there(text: str) -> None:
    device = Scripted(PING=text)
    with serving(device) as server, Fleet([server.address], **QUICK) as fleet:
        wait_until(lambda: fleet.missing() == {server.address: f"it answers: {text}"}, "it refuses")
        device.answers["PING"] = {}
        assert fleet.wait(PATIENCE_S) == {}


def test_what_is_refused_is_told_and_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    device = Scripted(SAVE="not permitted: SAVE")
    with serving(device) as server, Fleet([server.address], **QUICK) as fleet:
        fleet.toggle_saving(True)
        fleet.save("/a")
        why = "SAVE: it answers: not permitted: SAVE"
        wait_until(lambda: fleet.missing() == {server.address: why}, "it refuses")
        device.asked.clear()
        wait_until(lambda: device.asked.count("PING") > 3, "time passes")
        assert "SAVE" not in device.asked
        assert "TOGGLE SAVING" not in device.asked  # nobody knows where to save
        assert caplog.text.count("not permitted: SAVE") == 1
        device.answers["SAVE"] = {}
        fleet.save("/b")
        assert fleet.wait(PATIENCE_S) == {}


def test_what_fails_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Scripted(SAVE="no such disk")
    with serving(device) as server, Fleet([server.address], **QUICK) as fleet:
        fleet.save("/a")
        why = "SAVE: it answers: no such disk"
        wait_until(lambda: fleet.missing() == {server.address: why}, "it has no disk")
        device.answers["SAVE"] = {}
        assert fleet.wait(PATIENCE_S) == {}
        assert device.asked.count("SAVE") == 2
