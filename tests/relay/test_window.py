"""The chain of what is sent and not known to be stored."""

from __future__ import annotations

from laplace_server.relay.jetstream import Stored
from laplace_server.relay.records import Kind, Record, RecordId
from laplace_server.relay.window import MOST_BYTES, Window


def identity(number: int) -> RecordId:
    return RecordId(7, Kind.UPDATES, number, number)


def filled(window: Window, first: int, last: int, body: bytes = b"body") -> None:
    for number in range(first, last + 1):
        window.add(Record(identity(number), [body]), 1000)


def sent(window: Window) -> list[tuple[str, str]]:
    """Ids, and what JetStream is told to have before each."""
    return [
        (link.headers.pop("Nats-Msg-Id"), *link.headers.values())  # type: ignore[misc]
        for link in window.unsent()
    ]


def test_each_names_the_one_before_it() -> None:
    window = Window()
    assert window.begin(None, 3) is None
    filled(window, 1, 2)
    assert sent(window) == [("7.updates.1-1", "3"), ("7.updates.2-2", "4")]
    assert sent(window) == []
    filled(window, 3, 3)
    assert sent(window) == [("7.updates.3-3", "5")]


def test_answers_come_in_order() -> None:
    window = Window()
    window.begin(None, 0)
    filled(window, 1, 3)
    numbers = [link.number for link in window.unsent()]
    assert window.holds(numbers[0])
    assert window.stored(numbers[1]) is None
    link = window.stored(numbers[0])
    assert link is not None
    assert (link.id, len(window)) == (identity(1), 2)
    assert not window.holds(numbers[0])


def test_after_a_break_the_rest_is_sent_again() -> None:
    window = Window()
    window.begin(None, 0)
    filled(window, 1, 4)
    old = [link.number for link in window.unsent()]
    found = window.begin(Stored(2, identity(2)), 2)
    assert found is not None
    assert [link.id for link in found] == [identity(1), identity(2)]
    assert sent(window) == [
        ("7.updates.3-3", "2"),
        ("7.updates.4-4", "3"),
    ]
    assert not any(map(window.holds, old))  # answers of the former connection
    assert window.begin(Stored(2, identity(2)), 2) == []
    assert len(window) == 2
    assert len(window.begin(Stored(4, identity(4)), 4) or ()) == 2
    assert (len(window), window.last) == (0, identity(4))


def test_what_does_not_go_on_behind_the_last_is_dropped() -> None:
    for last in (None, Stored(9, identity(9)), Stored(1, identity(1))):
        window = Window()
        window.begin(Stored(2, identity(2)), 2)
        filled(window, 3, 4)
        assert window.begin(last, 9) is None
        assert (len(window), window.last) == (0, last and last.id)


def test_there_is_room_for_so_much() -> None:
    window = Window()
    window.begin(None, 0)
    window.add(Record(identity(1), [bytes(MOST_BYTES)]), MOST_BYTES // 4)
    assert (len(window), window.has_room) == (4, False)
    for link in list(window.unsent()):
        window.stored(link.number)
    assert window.has_room
