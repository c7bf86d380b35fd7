"""What waits for a program that is busy."""

from __future__ import annotations

from laplace_server.fleet.notices import Notice, Notices
from laplace_server.fleet.state import DeviceState


def waiting(notices: Notices) -> list[tuple[str, bool]]:
    found = []
    while (notice := notices.take()) is not None:
        found.append((notice.device.address, notice.joined))
    return found


def put(notices: Notices, address: str, joined: bool) -> None:
    notices.put(Notice(joined, DeviceState(address, joined, 0.0)))


def test_they_come_in_order_and_each_rings() -> None:
    rings: list[None] = []
    notices = Notices(lambda: rings.append(None))
    for address in "ab":
        put(notices, address, True)
    put(notices, "a", False)
    assert len(rings) == 3
    assert waiting(notices) == [("a", True), ("b", True), ("a", False)]


def test_two_of_a_device_wait_at_most() -> None:
    notices = Notices(lambda: None)
    put(notices, "b", True)
    for count in range(1001):
        put(notices, "a", count % 2 == 0)
    assert waiting(notices) == [("b", True), ("a", True)]
    for count in range(1000):
        put(notices, "a", count % 2 == 1)
    assert waiting(notices) == [("a", False), ("a", True)]


def test_those_of_a_removed_device_are_dropped() -> None:
    notices = Notices(lambda: None)
    put(notices, "a", True)
    put(notices, "b", True)
    notices.drop("a")
    assert waiting(notices) == [("b", True)]
    put(notices, "b", False)
    notices.drop()
    assert waiting(notices) == []
