"""Fleets of both kinds, used alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from support.fleets import QUICK, Mortal
from support.peers import PATIENCE_S

from laplace_server.fleet import DeviceState, Fleet


class Heard:
    """What callbacks were told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, DeviceState]] = []

    def of(self, fleet: Any) -> None:
        fleet.set_on_joined(lambda device: self.said.append(("joined", device)))
        fleet.set_on_lost(lambda device: self.said.append(("lost", device)))

    @property
    def words(self) -> list[tuple[str, str]]:
        return [(word, device.address) for word, device in self.said]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def pair(nothing_left_behind: None) -> Iterator[tuple[Mortal, Mortal]]:
    with Mortal("first") as first, Mortal("second") as second:
        yield first, second


@pytest.fixture
def fleet(pair: tuple[Mortal, Mortal], heard: Heard) -> Iterator[Fleet]:
    """One of two devices, who are both there."""
    with contextlib.closing(Fleet([each.address for each in pair], name="master", **QUICK)) as made:
        heard.of(made)
        made.start()
        assert made.wait(PATIENCE_S) == {}
        yield made
