"""Who looks at a folder while anybody wants it."""

from __future__ import annotations

import threading

import pytest
from support.peers import PATIENCE_S
from support.waiting import wait_until

from laplace_server.security import watch
from laplace_server.security.watch import FolderWatch


class Looks:
    """A look that takes as long as a test wants."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_return = threading.Event()
        self.may_return.set()

    def __call__(self) -> None:
        self.begun.release()
        assert self.may_return.wait(PATIENCE_S)

    def wait(self) -> None:
        assert self.begun.acquire(timeout=PATIENCE_S), "nobody looks"


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "folder of keys"]


def test_it_looks_at_once_and_again_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    looks = Looks()
    watching = FolderWatch(looks)
    for _ in range(2):
        watching.begin()
        watching.begin()
        assert len(watchers()) == 1
        for _ in range(3):
            looks.wait()
        watching.end()
        looks.wait()
        watching.end()
        wait_until(lambda: not watchers(), "it has ended")


def test_it_looks_on_after_a_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    looks = threading.Semaphore(0)

    def fail() -> None:
        looks.release()
        raise MemoryError

    watching = FolderWatch(fail)
    watching.begin()
    for _ in range(3):
        assert looks.acquire(timeout=PATIENCE_S), "nobody looks"
    watching.end()
    wait_until(lambda: not watchers(), "it has ended")
    assert "MemoryError" in capsys.readouterr().err


def test_it_does_not_wait_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 10 * PATIENCE_S)
    looks = Looks()
    watching = FolderWatch(looks)
    watching.begin()
    looks.wait()
    watching.end()
    wait_until(lambda: not watchers(), "it has ended")


def test_nobody_waits_for_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PERIOD_S", 0.01)
    looks = Looks()
    looks.may_return.clear()
    watching = FolderWatch(looks)
    watching.begin()
    looks.wait()
    watching.end()
    # One that is held up goes on for who comes next; there is never a second.
    watching.begin()
    (thread,) = watchers()
    looks.may_return.set()
    looks.wait()
    assert watchers() == [thread]
    watching.end()
    wait_until(lambda: not watchers(), "it has ended")
