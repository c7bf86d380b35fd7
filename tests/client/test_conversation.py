"""What a client says and hears, without a connection: bytes in, messages out."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any

import pytest
from support.machine import memory, resident
from support.peers import PATIENCE_S
from support.raw_listeners import (
    GREETING,
    OPENING,
    RawListener,
    command,
    frame,
    message,
    ping,
    pong,
    ready,
)

from laplace_server.client._frames import DEALER, REQ, Conversation

pytestmark = pytest.mark.transports()  # no server


def tell(conversation: Conversation, given: bytes) -> None:
    """Give it bytes as whoever reads a socket does."""
    view = memoryview(given)
    while view:
        room = conversation.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        conversation.buffer_updated(size)
        view = view[size:]


def opened(kind: int = DEALER) -> Conversation:
    conversation = Conversation(kind)
    tell(conversation, OPENING)
    assert conversation.ready
    assert conversation.take() is None
    return conversation


def taken(conversation: Conversation) -> list[list[bytes]]:
    return list(iter(conversation.take, None))


@pytest.mark.parametrize(("kind", "name"), [(REQ, b"REQ"), (DEALER, b"DEALER")])
def test_the_opening(kind: int, name: bytes) -> None:
    opening = Conversation(kind).opening()
    assert opening[:12] == b"\xff" + bytes(7) + b"\x01\x7f\x03\x01"
    assert opening[12:64] == b"NULL" + bytes(48)
    assert opening[64:] == command(
        b"\x05READY\x0bSocket-Type"
        + bytes([0, 0, 0, len(name)])
        + name
        + b"\x08Identity"
        + bytes(4)
    )


@pytest.mark.parametrize("kind", [-1, 0, 2, 4, 100])
def test_other_types_of_sockets_are_refused(kind: int) -> None:
    with pytest.raises(ValueError, match=f"no such type of a client's socket: {kind}"):
        Conversation(kind)
    with pytest.raises(TypeError):
        Conversation("REQ")  # type: ignore[arg-type]


def test_messages_come_as_lists_of_bytes() -> None:
    conversation = opened()
    tell(conversation, message(b"", b"{}") + message(b"one") + message(b"", b"a" * 300, b"", b"b"))
    assert taken(conversation) == [[b"", b"{}"], [b"one"], [b"", b"a" * 300, b"", b"b"]]
    assert conversation.take() is None
    tell(conversation, frame(b"half", more=True))
    assert conversation.take() is None
    tell(conversation, frame(b"whole"))
    assert conversation.take() == [b"half", b"whole"]


def test_however_the_bytes_are_cut_it_is_the_same() -> None:
    generator = random.Random(14)
    given = OPENING
    wanted = []
    for number in range(40):
        frames = [
            generator.randbytes(generator.choice([0, 1, 2, 255, 256, 5000, 9000, 70_000]))
            for _ in range(generator.randrange(1, 5))
        ]
        wanted.append(frames)
        given += message(*frames)
        if number % 5 == 0:
            given += ping(b"%d" % number) + pong() + command(b"\x09SUBSCRIBEx")
    for longest in (1, 7, 300, 5000, 100_000, len(given)):
        conversation = Conversation(DEALER)
        at = 0
        while at < len(given):
            size = generator.randrange(1, longest + 1) if longest > 1 else 1
            if longest == 1 and at > 20_000:
                size = 10_000
            tell(conversation, given[at : at + size])
            at += size
        assert taken(conversation) == wanted, longest
        assert conversation.to_send() == b"".join(pong(b"%d" % n) for n in range(0, 40, 5))
        assert not conversation.fault


def test_a_large_frame_is_received_straight_into_its_bytes() -> None:
    conversation = opened()
    body = random.Random(1).randbytes(3 << 20)
    given = memoryview(message(b"", body))
    header = len(given) - len(body)
    tell(conversation, bytes(given[: header + 10]))
    room = conversation.get_buffer()
    assert len(room) == len(body) - 10
    room[: 1 << 20] = given[header + 10 : header + 10 + (1 << 20)]
    conversation.buffer_updated(1 << 20)
    rest = conversation.get_buffer()
    assert len(rest) == len(body) - 10 - (1 << 20)
    rest[:] = given[header + 10 + (1 << 20) :]
    conversation.buffer_updated(len(rest))
    assert conversation.take() == [b"", body]
    del room, rest
    assert len(conversation.get_buffer()) <= 64 * 1024


def test_views_outlive_what_they_were_for() -> None:
    """No use of one that is kept writes to memory that has gone."""
    conversation = opened()
    tell(conversation, message(b"", bytes(100_000))[:5000])
    large = conversation.get_buffer()
    conversation.buffer_updated(len(large))
    small = conversation.get_buffer()
    tell(conversation, message(b"x" * 5000))
    reference = weakref.ref(large)
    frames = taken(conversation)
    del conversation
    gc.collect()
    small[:] = bytes(len(small))
    large[:1] = b"\0"
    assert len(frames) == 2
    del large
    assert reference() is None


def test_there_is_always_room() -> None:
    conversation = Conversation(REQ)
    assert not conversation.get_buffer(0).readonly
    for _ in range(10):
        tell(conversation, b"rubbish" * 1000)
        assert len(conversation.get_buffer(-1)) > 0
    assert conversation.fault


@pytest.mark.parametrize("count", [-1, 1 << 40, 4097])
def test_more_than_there_is_room_for_cannot_have_come(count: int) -> None:
    conversation = Conversation(REQ)
    assert len(conversation.get_buffer()) == 4096
    with pytest.raises(ValueError, match=f"no room for {count} bytes"):
        conversation.buffer_updated(count)
    tell(conversation, OPENING)
    assert conversation.ready


def test_pings_are_answered_once() -> None:
    conversation = opened()
    assert conversation.to_send() == b""
    tell(conversation, ping(b"a") + frame(b"", True) + ping(b"0123456789abcdef") + frame(b"x"))
    assert conversation.to_send() == pong(b"a") + pong(b"0123456789abcdef")
    assert conversation.to_send() == b""
    assert conversation.take() == [b"", b"x"]
    for _ in range(10_000):  # it does not read the answers
        tell(conversation, ping(b"0123456789abcdef"))
    assert 4096 <= len(conversation.to_send()) < 5000


@pytest.mark.parametrize(
    ("given", "fault", "answer"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak ZMTP 3", b""),
        (GREETING[:10] + b"\x01\x00", "it does not speak ZMTP 3, but an older version", b""),
        (
            GREETING[:12] + b"CURVE".ljust(52, b"\0"),
            "it wants another security mechanism than NULL; it may serve only clients with a key",
            b"",
        ),
        (
            GREETING + ready(b"PUB"),
            "its socket is of a type that does not fit",
            command(b"\x05ERROR\x18incompatible-socket-type"),
        ),
        (OPENING + b"\x80", "what it sends breaks the rules of ZMTP", b""),
        (OPENING + message(b"a") + command(b"\x05ERROR\x05later"), "it refused: later", b""),
        (GREETING + command(b"\x05ERROR\x00"), "it refused", b""),
        (OPENING + frame(b"", True) * 140_000, "it sends a message of too many frames", b""),
    ],
)
def test_faults(given: bytes, fault: str, answer: bytes) -> None:
    for whole in (True, False):
        conversation = Conversation(REQ)
        if whole:
            tell(conversation, given)
        else:
            for at in range(0, len(given), 3):
                tell(conversation, given[at : at + 3])
        assert conversation.fault == fault
        assert conversation.to_send() == answer
        assert conversation.take() == ([b"a"] if b"\x01a" in given else None)
        tell(conversation, message(b"ignored"))
        assert conversation.take() is None
        assert conversation.to_send() == b""


@pytest.mark.parametrize("size", [1 << 45, 1 << 62, (1 << 63) - 1])
def test_a_frame_for_which_there_is_no_memory_is_a_fault(size: int) -> None:
    conversation = opened()
    tell(conversation, message(b"before") + b"\x02" + size.to_bytes(8, "big"))
    if not conversation.fault:
        tell(conversation, b"x")
    assert conversation.take() == [b"before"]
    assert conversation.fault in (
        "there is no memory for what it sends",
        "what it sends breaks the rules of ZMTP",
    )


def test_what_is_announced_costs_no_memory_before_it_comes() -> None:
    before = resident()
    kept = []
    for _ in range(20):
        conversation = opened()
        tell(conversation, b"\x02" + (1 << 28).to_bytes(8, "big") + bytes(10))
        assert not conversation.fault
        kept.append(conversation)
    assert resident() - before < memory(20)


def test_memory_of_messages_is_let_go() -> None:
    conversation = opened()
    before = resident()
    for _ in range(100):
        tell(conversation, message(b"", bytes(5 << 20)))
        assert conversation.take() is not None
    assert resident() - before < memory(20)


def test_changes_are_told_when_all_is_in_order() -> None:
    conversation = Conversation(REQ)
    told: list[Any] = []

    def note() -> None:
        told.append((conversation.ready, conversation.take(), conversation.to_send()))

    conversation.on_change = note
    tell(conversation, GREETING)
    assert told == []
    tell(conversation, ready()[:5])
    tell(conversation, ready()[5:])
    tell(conversation, frame(b"", True))
    tell(conversation, frame(b"reply") + ping())
    tell(conversation, pong())
    assert told == [(True, None, b""), (True, [b"", b"reply"], pong())]
    tell(conversation, b"\x80")
    assert len(told) == 3
    tell(conversation, b"\x80")
    assert len(told) == 3
    assert conversation.fault


def test_an_exception_out_of_on_change_leaves_all_in_order() -> None:
    conversation = opened()

    def fail() -> None:
        raise LookupError

    conversation.on_change = fail
    for number in range(10):
        with pytest.raises(LookupError):
            tell(conversation, message(b"%d" % number))
    conversation.on_change = None
    tell(conversation, message(b"10"))
    assert taken(conversation) == [[b"%d" % number] for number in range(11)]


def test_encoded() -> None:
    for frames in ([b""], (b"", b"x"), [b"a" * 255, b"b" * 256], [b"", b"y" * 100_000, b"z"]):
        assert Conversation.encoded(frames) == message(*frames)
    with pytest.raises(ValueError, match="one frame at least"):
        Conversation.encoded([])
    for wrong in (["text"], [bytearray(1)], [b"", None], 5, "text", b"bytes"):
        with pytest.raises(TypeError):
            Conversation.encoded(wrong)  # type: ignore[arg-type]

    class Odd(bytes):
        def __len__(self) -> int:
            return 7

    assert Conversation.encoded([Odd(b"xy")]) == message(b"xy")


def test_a_derived_class_begins_as_it_likes() -> None:
    class Derived(Conversation):
        def __init__(self, name: str, *, kind: int) -> None:
            super().__init__(kind)
            self.name = name

    conversation = Derived("n", kind=REQ)
    tell(conversation, OPENING + message(b"x"))
    assert conversation.take() == [b"x"]

    class Careless(Conversation):
        def __init__(self) -> None:
            pass

    careless = Careless()
    tell(careless, OPENING + message(b"x"))
    assert careless.opening()


def test_what_refers_to_itself_is_collected() -> None:
    class Derived(Conversation):
        pass

    conversation = Derived(REQ)
    conversation.on_change = conversation.opening
    gone = weakref.ref(conversation)
    del conversation
    gc.collect()
    assert gone() is None


class Asking(Conversation, asyncio.BufferedProtocol):
    """What a client of asyncio makes of it."""

    def __init__(self) -> None:
        super().__init__(DEALER)
        self.on_change = self.changed
        self.changes = asyncio.Event()

    def changed(self) -> None:
        self.changes.set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.opening())

    async def next(self) -> list[bytes]:
        while (frames := self.take()) is None:
            self.changes.clear()
            await self.changes.wait()
        return frames


def test_as_a_protocol_of_asyncio() -> None:
    body = random.Random(5).randbytes(3 << 20)

    async def talk(listener: RawListener) -> list[list[bytes]]:
        loop = asyncio.get_running_loop()
        transport, asking = await loop.create_connection(Asking, "127.0.0.1", listener.port)
        end = listener.accept()
        await loop.run_in_executor(None, end.open)
        transport.write(Conversation.encoded([b"", b"question"]))
        sent = loop.run_in_executor(None, end.send, message(b"", b"a"), message(b"", body, b"b"))
        got = [await asking.next(), await asking.next()]
        await sent
        got.append(await loop.run_in_executor(None, end.read_message))
        transport.close()
        assert await loop.run_in_executor(None, end.ended)
        return got

    with RawListener() as listener:
        got = asyncio.run(asyncio.wait_for(talk(listener), PATIENCE_S))
    assert got == [[b"", b"a"], [b"", body, b"b"], [b"", b"question"]]
