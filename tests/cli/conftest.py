"""A server with streams to show, a motor to move, and a home for keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.following import Follow, Following
from support.keys import at_home
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.sim import SimulatedMotor


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, which is also where commands run."""
    for name, value in at_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LAPLACE_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    return make_server(device="CAMERA")


@pytest.fixture
def motor() -> Iterator[SimulatedMotor]:
    with SimulatedMotor("stage") as device:
        yield device


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Start ``laplace-server stream`` with arguments; all are ended with the test."""
    started: list[Following] = []

    def make(*arguments: str) -> Following:
        started.append(Following(*arguments))
        return started[-1]

    yield make
    for each in started:
        each.close()
