"""What a client with keys says and hears, without a connection: of libzmq's own CURVE, cut as it
comes."""

from __future__ import annotations

import copy
import pickle
import random
import socket
from collections.abc import Iterator

import pytest
from support.curve import Curve
from support.isolated import run_script
from support.keys import new_pair
from support.machine import memory, resident
from support.peers import PATIENCE_S
from support.raw_listeners import GREETING, command, message, ping
from support.scripted_server import ScriptedServer

from laplace_server.client._frames import (
    CLOSED_AT_HELLO,
    CLOSED_EARLY,
    CLOSED_UNGREETED,
    DEALER,
    NO_KEY,
    REQ,
    ClientKeys,
    Conversation,
)

pytestmark = pytest.mark.transports()  # no server

CURVE_GREETING = GREETING[:12] + b"CURVE".ljust(20, b"\0") + bytes(32)
HEADER = 33  # in front of the body of what is sealed, and within its frame


class Wire:
    """A conversation, and the socket on which its peer is."""

    def __init__(self, server: ScriptedServer, keys: ClientKeys, kind: int = DEALER) -> None:
        self.conversation = Conversation(kind, keys)
        self.socket = socket.create_connection(
            ("127.0.0.1", int(server.address.rpartition(":")[2])), PATIENCE_S
        )
        self.socket.sendall(self.conversation.opening())

    def come(self, longest: int = 1 << 16) -> bytes:
        """What comes next."""
        return self.socket.recv(longest)

    def tell(self, given: bytes) -> None:
        """Have the conversation hear it, and say what it answers."""
        tell(self.conversation, given)
        self.socket.sendall(self.conversation.to_send())

    def open(self) -> Wire:
        while not self.conversation.ready:
            assert not self.conversation.fault
            self.tell(self.come())
        return self

    def say(self, *frames: bytes) -> None:
        self.socket.sendall(self.conversation.sealed(Conversation.encoded(frames)))


def tell(conversation: Conversation, given: bytes) -> None:
    """Give it bytes as whoever reads a socket does."""
    view = memoryview(given)
    while view:
        room = conversation.get_buffer(-1)
        size = min(len(room), len(view))
        room[:size] = view[:size]
        conversation.buffer_updated(size)
        view = view[size:]


def three_frames(body: bytes) -> list[list[bytes]]:
    return [[b"", body, b"and more"]]


@pytest.fixture
def curve() -> Curve:
    return Curve(heartbeat_ms=20)


@pytest.fixture
def server(curve: Curve) -> Iterator[ScriptedServer]:
    with ScriptedServer(three_frames, curve=curve) as server:
        yield server


@pytest.fixture
def wire(server: ScriptedServer, curve: Curve) -> Iterator[Wire]:
    made = Wire(server, curve.keys())
    with made.socket:
        yield made


def test_the_opening(curve: Curve) -> None:
    conversation = Conversation(REQ, curve.keys())
    opening = conversation.opening()
    assert opening[:12] == b"\xff" + bytes(7) + b"\x01\x7f\x03\x01"
    assert opening[12:64] == CURVE_GREETING[12:]
    assert opening[64:66] == b"\x04\xc8"
    assert opening[66:74] == b"\x05HELLO\x01\x00"
    assert len(opening) == 64 + 2 + 200
    with pytest.raises(RuntimeError, match="it has begun already"):
        conversation.opening()
    other = Conversation(REQ, curve.keys()).opening()
    assert other[64 + 2 + 80 : 64 + 2 + 112] != opening[64 + 2 + 80 : 64 + 2 + 112]


def test_however_the_bytes_are_cut_it_is_the_same(wire: Wire) -> None:
    generator = random.Random(15)
    conversation = wire.conversation
    sizes = [0, 1, 30, 221, 222, 223, 255, 256, 5000, 8191, 8192, 8193, 70_000, 300_000]
    bodies = [generator.randbytes(size) for size in sizes]
    wanted = [[b"", body, b"and more"] for body in bodies]
    longest = 1
    sent = False
    got: list[list[bytes]] = []
    while len(got) < len(wanted):
        if conversation.ready and not sent:
            for body in bodies:
                wire.say(b"", body)
            sent = True
        come = memoryview(wire.come())
        assert come
        while come:
            size = generator.randrange(1, longest + 1)
            wire.tell(bytes(come[:size]))
            come = come[size:]
            if conversation.ready:
                longest = generator.choice([1, 7, 40, 300, 5000, 100_000])
        got += iter(conversation.take, None)
    assert got == wanted
    assert not conversation.fault


def test_a_large_frame_is_opened_where_it_was_received_to(wire: Wire) -> None:
    wire.open()
    body = random.Random(1).randbytes(3 << 20)
    wire.say(b"", body)
    direct = 0
    while (taken := wire.conversation.take()) is None:
        room = wire.conversation.get_buffer()
        size = wire.socket.recv_into(room)
        direct += size if len(room) > 1 << 16 else 0
        wire.conversation.buffer_updated(size)
        wire.socket.sendall(wire.conversation.to_send())
    assert taken == [b"", body, b"and more"]
    assert direct > 2 << 20


def test_pings_are_answered_in_boxes(wire: Wire) -> None:
    """libzmq ends a connection on which something comes that is not sealed, or not in order."""
    wire.open()
    for number in range(5):
        come = wire.come()  # a PING
        tell(wire.conversation, come)
        answer = wire.conversation.to_send()
        assert b"\7MESSAGE" in answer
        assert b"PONG" not in answer
        wire.socket.sendall(answer)
        wire.say(b"", b"%d" % number)
        while (taken := wire.conversation.take()) is None:
            wire.tell(wire.come())
        assert taken == [b"", b"%d" % number, b"and more"]


def test_what_is_sealed(wire: Wire, curve: Curve) -> None:
    plain = Conversation(DEALER)
    assert plain.sealed(message(b"", b"x")) == message(b"", b"x")
    with pytest.raises(RuntimeError, match="before the handshake is over"):
        wire.conversation.sealed(message(b"x"))
    wire.open()
    secret = b"nobody sees this" * 100
    sealed = wire.conversation.sealed(message(b"", secret))
    assert b"nobody" not in sealed
    assert len(sealed) == (2 + HEADER) + (9 + HEADER + len(secret))
    assert wire.conversation.sealed(message(b"", secret)) != sealed
    for wrong in (b"", b"\0", b"\0\5four", b"\2" + bytes(7), b"\2" + b"\xff" * 8, sealed[:-1]):
        with pytest.raises(ValueError, match="only what encoded"):
            wire.conversation.sealed(wrong)
    tell(wire.conversation, message(b"not sealed"))
    assert wire.conversation.fault == "what it sends breaks the rules of ZMTP"
    assert wire.conversation.sealed(message(b"x")) == b""
    assert wire.conversation.to_send() == b""


@pytest.mark.parametrize("size", [10, 5000, 20_000, 300_000])
def test_what_was_changed_on_the_way_is_a_fault(
    server: ScriptedServer, curve: Curve, size: int
) -> None:
    generator = random.Random(size)
    for _ in range(8):
        wire = Wire(server, curve.keys())
        with wire.socket:
            wire.open()
            wire.say(b"", b"\0" * size)
            come = b""
            while len(come) < size:
                come += wire.come()
            place = generator.randrange(size)
            changed = come[:place] + bytes([come[place] ^ 1 << generator.randrange(8)])
            tell(wire.conversation, changed + come[place + 1 :] + bytes(100))
            assert wire.conversation.fault
            taken = list(iter(wire.conversation.take, None))
            assert all(each == [b"", b"\0" * size, b"and more"] for each in taken)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak ZMTP 3"),
        (GREETING[:10] + b"\x01\x00", "it does not speak ZMTP 3, but an older version"),
        (
            GREETING,
            "it has no security: it talks in the clear, which a client with a key does not",
        ),
        (
            GREETING[:12] + b"PLAIN".ljust(52, b"\0"),
            "it wants another security mechanism than CURVE",
        ),
        (CURVE_GREETING + message(b"a"), "what it sends breaks the rules of ZMTP"),
        (CURVE_GREETING + command(b"\x05READY"), "what it sends breaks the rules of ZMTP"),
        (
            CURVE_GREETING + command(b"\x07WELCOME" + bytes(160)),
            "what came was not sealed by the server with the expected key, or changed on the way",
        ),
        (CURVE_GREETING + command(b"\x05ERROR\x03400"), "it does not allow this client's key"),
        (CURVE_GREETING + command(b"\x05ERROR\x03500"), "it refused: 500"),
        (CURVE_GREETING + b"\x06" + (1 << 40).to_bytes(8, "big"), "what it sends breaks the rules"),
    ],
)
def test_faults(curve: Curve, given: bytes, fault: str) -> None:
    for step in (1, 3, len(given)):
        conversation = Conversation(REQ, curve.keys())
        conversation.opening()
        for at in range(0, len(given), step):
            tell(conversation, given[at : at + step])
        assert conversation.fault.startswith(fault)
        assert conversation.to_send() == b""
        tell(conversation, GREETING + message(b"ignored") + ping())
        assert conversation.take() is None
        assert conversation.to_send() == b""
        assert not conversation.ready


def test_a_server_that_wants_a_key() -> None:
    conversation = Conversation(REQ)
    tell(conversation, GREETING + command(b"\x05ERROR\x0ckey-required"))
    assert conversation.fault == NO_KEY


def test_what_it_means_that_it_was_closed(curve: Curve) -> None:
    conversation = Conversation(REQ, curve.keys())
    assert conversation.closed_early == CLOSED_UNGREETED
    tell(conversation, CURVE_GREETING[:63])
    assert conversation.closed_early == CLOSED_UNGREETED
    tell(conversation, CURVE_GREETING[63:])
    assert conversation.closed_early == CLOSED_AT_HELLO
    assert Conversation(REQ).closed_early == CLOSED_EARLY


def test_what_is_announced_costs_no_memory_before_it_comes(
    server: ScriptedServer, curve: Curve
) -> None:
    before = resident()
    for size in (1 << 28, 1 << 62, (1 << 63) - 1):
        wire = Wire(server, curve.keys())
        with wire.socket:
            wire.open()
            tell(wire.conversation, b"\x02" + size.to_bytes(8, "big") + b"\7MESSAGE" + bytes(50))
            assert wire.conversation.take() is None
            assert size == 1 << 28 or wire.conversation.fault == (
                "there is no memory for what it sends"
            )
    assert resident() - before < memory(20)


# ---- keys


def test_keys_are_shown_nowhere(curve: Curve) -> None:
    keys = curve.keys()
    assert repr(keys).startswith("<laplace_server.client._frames.ClientKeys object")
    for how in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            how(keys)
    with pytest.raises(AttributeError):
        keys.secret_key = b""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("keys", "error", "text"),
    [
        ((b"x" * 31, b"y" * 32), ValueError, "secret_key must have 32 bytes"),
        ((b"x" * 32, b"y" * 33), ValueError, "server_key must have 32 bytes"),
        ((b"x" * 32, bytes(32)), ValueError, "server_key is no key that anybody could have made"),
        (("x" * 32, b"y" * 32), TypeError, "bytes"),
        ((b"x" * 32, None), TypeError, "None"),
    ],
)
def test_keys_that_are_none(
    curve: Curve, keys: tuple[bytes, bytes], error: type[Exception], text: str
) -> None:
    curve.keys()  # so that libsodium is there
    with pytest.raises(error, match=text) as caught:
        ClientKeys(*keys)
    assert "xxx" not in str(caught.value)


def test_no_keys_without_libsodium() -> None:
    run_script("""
        from laplace_server.client._frames import ClientKeys

        try:
            ClientKeys(b"x" * 32, b"y" * 32)
        except RuntimeError as error:
            assert str(error) == "libsodium is not loaded"
        else:
            raise AssertionError
    """)


def test_of_many_conversations_the_memory_is_let_go(curve: Curve) -> None:
    keys = curve.keys(server=new_pair())

    def begin() -> None:
        for _ in range(300):
            conversation = Conversation(REQ, keys)
            tell(conversation, CURVE_GREETING + b"\x04\xc8" + bytes(100))

    begin()
    before = resident()
    for _ in range(5):
        begin()
    assert resident() - before < memory(2)
