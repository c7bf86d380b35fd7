"""What the compiled part takes in by itself means what `SubscriptionReader` makes of it."""

from __future__ import annotations

import gc
import itertools
import json
import random
from typing import Any

import pytest
from support.protocol_scene import Scene
from support.stream_messages import END, UPDATES, answer, header, updates, word

from laplace_server.client import _frames
from laplace_server.client.subscription_reader import SILENCE_S
from laplace_server.client.subscription_steps import State

pytestmark = pytest.mark.transports()


def taken(scene: Scene, frames: Any) -> bool:
    """Whether the compiled part takes a message, the next one."""
    number = scene.protocol.ledger.read + 1
    due_at = scene.now + SILENCE_S
    return _frames.take_updates(scene.protocol, number, frames, due_at, State.FOLLOWING)


def read(scene: Scene, frames: list[bytes]) -> None:
    """As ``SubscriptionReader`` does where the compiled part takes nothing."""
    scene.protocol._take(scene.protocol.ledger.read + 1, frames, scene.now)


def state_of(scene: Scene) -> tuple[Any, ...]:
    *counted, batch = scene.protocol.ledger
    session = scene.protocol._session
    return counted, list(batch), session.due_at, session.doubted


def test_of_messages_in_any_order_it_makes_the_same() -> None:
    chance = random.Random(5)
    quick, plain = Scene(), Scene()
    position, count_taken = 1, 0
    for _ in range(2000):
        first = max(1, position + chance.choice([0, 0, 0, 0, 3, -1, -4]))
        last = first + chance.randrange(4)
        frames = updates(first, last, announced=chance.choice([0, last + 5]))
        for scene in (quick, plain):
            scene.now += 0.25
            scene.protocol._session.doubted = chance.random() < 0.5
        if taken(quick, frames):
            count_taken += 1
            assert first >= position
        else:
            assert first < position
            read(quick, frames)
        read(plain, frames)
        plain.protocol._session.doubted = quick.protocol._session.doubted = False
        for scene in (quick, plain):
            scene.protocol.batch = scene.protocol.ledger.batch
        assert state_of(quick) == state_of(plain)
        position = plain.protocol.ledger.position
    assert count_taken > 1000
    assert quick.protocol.ledger.lost > 0


UNUSUAL: dict[str, Any] = {
    "a word": word(UPDATES, first=1),
    "no frame but one": updates(1, 1)[1:],
    "an array": [b"", header(UPDATES, count=1, last=1, arrays=1) + bytes(8) + b"[[{},[]]]", b""],
    "an array that is missing": [b"", header(UPDATES, count=1, last=1, arrays=1) + bytes(8)],
    "of another subscription": updates(1, 1, subscription=2),
    "of another epoch": updates(1, 1, epoch=8),
    "no JSON": [b"", header(UPDATES, count=1, last=1) + bytes(8) + b"[{]"],
    "NaN": [b"", header(UPDATES, count=1, last=1) + bytes(8) + b'[{"x":NaN}]'],
    "too few": [b"", header(UPDATES, count=2, last=2) + bytes(16) + b"[{}]"],
    "too many": [b"", header(UPDATES, count=1, last=1) + bytes(8) + b"[{},{}]"],
    "no list": [b"", header(UPDATES, count=1, last=1) + bytes(8) + b'{"n":1}'],
    "no objects": [b"", header(UPDATES, count=2, last=2) + bytes(16) + b"[{},[]]"],
    "nested deeply": [b"", header(UPDATES, count=1, last=1) + bytes(8) + b"[" * 5000],
    "cut short": [b"", updates(1, 1)[1][:60]],
    "JSON": [b"", json.dumps({"cmd": "SUBSCRIBE"}).encode()],
    "of what is no bytes": [b"", bytearray(updates(1, 1)[1])],
    "no list of frames": tuple(updates(1, 1)),
    "nothing": [],
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_what_is_not_usual_is_left_alone(what: str) -> None:
    scene = Scene()
    before = state_of(scene)
    assert not taken(scene, UNUSUAL[what])
    assert state_of(scene) == before
    assert taken(scene, updates(1, 3))
    assert [update.seq for update in scene.protocol.ledger.batch] == [1, 2, 3]


def test_nothing_is_taken_that_is_not_granted_or_is_over() -> None:
    asking = Scene(granted=False)
    assert not taken(asking, updates(1, 1))
    asking.ask()
    assert not taken(asking, updates(1, 1))
    asking.take(answer())
    assert taken(asking, updates(1, 1))
    assert len(list(asking.protocol.ledger.batch)) == 1
    read(asking, word(END, last=1, first=2))
    assert not taken(asking, updates(2, 2))


def test_numbers_of_any_size() -> None:
    scene = Scene(granted=False)
    scene.ask()
    greatest = 2**63
    scene.take(answer(next=greatest - 1, epoch=2**64 - 1, last=greatest - 2))
    message = updates(greatest - 1, greatest, epoch=2**64 - 1)
    assert taken(scene, message)
    assert scene.protocol.ledger.position == greatest + 1
    assert [update.seq for update in scene.protocol.ledger.batch] == [greatest - 1, greatest]


def test_what_stands_in_front_of_a_body_is_not_counted() -> None:
    quick, plain = Scene(), Scene()
    frames = [b"route", *updates(1, 2)[1:]]
    assert taken(quick, frames)
    read(plain, frames)
    assert state_of(quick) == state_of(plain)


class Closing:
    """Garbage that closes the subscription when it is collected, as a program's may."""

    scene: Scene

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        self.scene.protocol.drop()


def test_what_is_collected_meanwhile_may_close_it() -> None:
    """Where the collector may run in the middle of it, as before Python 3.12."""
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for first in itertools.islice(itertools.count(1), 50):
            scene = Scene()
            garbage = Closing()
            garbage.scene = scene
            del garbage
            frames = updates(1, first)
            if not taken(scene, frames):
                assert len(scene.protocol.ledger.batch) == 0
    finally:
        gc.set_threshold(*threshold)
