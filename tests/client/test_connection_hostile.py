"""A client's own connection and peers that speak rubbish, break off, say nothing or too much."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.machine import WINDOWS, memory, resident
from support.peers import PATIENCE_S
from support.raw_listeners import (
    GREETING,
    OPENING,
    RawListener,
    begun,
    command,
    frame,
    message,
    opened,
    ping,
    pong,
    ready,
)

from laplace_server.client._frames import CLOSED_EARLY, REQ, Connection

pytestmark = pytest.mark.transports()  # no server


@pytest.fixture
def listener() -> Iterator[RawListener]:
    with RawListener() as made:
        yield made


def wait_for_the_end(connection: Connection) -> str:
    assert connection.receive(PATIENCE_S) is None
    assert connection.broken
    return connection.trouble


def test_closed_at_every_byte_of_the_handshake(listener: RawListener) -> None:
    for size in range(len(OPENING)):
        for reset in (False, True):
            connection, end = begun(listener, REQ)
            assert connection.send([b"", b"must not leave"])
            end.send(OPENING[:size])
            end.read_opening()
            if reset:
                end.reset()
            else:
                end.socket.shutdown(socket.SHUT_WR)
            assert wait_for_the_end(connection) == CLOSED_EARLY, size
            assert connection.connected
            assert not connection.refused
            assert not connection.ready
            if not reset:
                connection.close()
                assert end.ended(), "nothing follows the opening"
                end.socket.close()
            connection.close()


def test_closed_at_every_byte_of_a_reply(listener: RawListener) -> None:
    reply = message(b"", b"x" * 300, b"", b"y")
    for size in range(len(reply) + 1):
        connection, end = opened(listener, REQ)
        assert connection.send([b"", b"question"])
        assert end.read_message() == [b"", b"question"]
        end.send(reply[:size])
        end.socket.close()
        if size == len(reply):
            assert connection.receive(PATIENCE_S) == [b"", b"x" * 300, b"", b"y"]
        assert wait_for_the_end(connection) == "closed by the other side"
        connection.close()


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak ZMTP 3"),
        (b"\0" * 100, "it does not speak ZMTP 3"),
        (GREETING[:10] + b"\x02" + bytes(53), "it does not speak ZMTP 3, but an older version"),
        (
            GREETING[:12] + b"PLAIN".ljust(52, b"\0"),
            "it wants another security mechanism than NULL; it may serve only clients with a key",
        ),
        (GREETING + command(b"\x05ERROR\x08Too busy"), "it refused: Too busy"),
        (GREETING + command(b"\x05HELLO"), "what it sends breaks the rules of ZMTP"),
        (GREETING + message(b"too soon"), "what it sends breaks the rules of ZMTP"),
    ],
)
def test_what_is_no_handshake_is_told_at_once(
    listener: RawListener, said: bytes, trouble: str
) -> None:
    connection, end = begun(listener, REQ)
    assert connection.send([b"", b"must not leave"])
    end.send(said)
    assert wait_for_the_end(connection) == trouble
    assert not connection.send([b"", b"x"])
    assert connection.unsent == 0
    end.read_opening()
    connection.close()
    assert end.ended()


def test_a_peer_of_a_type_that_does_not_fit_is_told_so(listener: RawListener) -> None:
    connection, end = begun(listener, REQ)
    end.send(GREETING, ready(b"PUB"))
    assert wait_for_the_end(connection) == "its socket is of a type that does not fit"
    end.read_opening()
    error = command(b"\x05ERROR\x18incompatible-socket-type")
    assert end.read(len(error)) == error
    connection.close()


def test_rubbish_in_traffic(listener: RawListener) -> None:
    generator = random.Random(14)
    # No headers of large frames: those have tests of their own.
    short = bytes.maketrans(b"\x02\x03", b"\x00\x01")
    for _ in range(200):
        connection, end = opened(listener)
        rubbish = generator.randbytes(generator.randrange(1, 2000)).translate(short)
        end.send(message(b"before"), rubbish)
        end.socket.shutdown(socket.SHUT_WR)
        assert connection.receive(PATIENCE_S) == [b"before"]
        while connection.receive(PATIENCE_S) is not None:
            pass
        assert connection.broken
        assert connection.trouble
        connection.close()
        end.socket.close()


@pytest.mark.parametrize("size", [1 << 46, (1 << 63) - 1, (1 << 64) - 1])
def test_huge_announced_frames_cost_no_memory(listener: RawListener, size: int) -> None:
    before = resident()
    connection, end = opened(listener)
    end.send(message(b"before"), b"\x02" + size.to_bytes(8, "big"), bytes(100))
    assert connection.receive(PATIENCE_S) == [b"before"]
    trouble = wait_for_the_end(connection)
    assert trouble in (
        "there is no memory for what it sends",
        "what it sends breaks the rules of ZMTP",
    )
    assert resident() - before < memory(20)
    connection.close()


def test_announced_frames_that_never_come_cost_no_memory(listener: RawListener) -> None:
    before = resident()
    pairs = [opened(listener) for _ in range(20)]
    for connection, end in pairs:
        end.send(b"\x02" + (1 << 28).to_bytes(8, "big"), bytes(20_000))
        assert connection.receive(0.01) is None
        assert not connection.broken
    assert resident() - before < memory(20)
    for connection, end in pairs:
        end.socket.close()
        assert wait_for_the_end(connection) == "closed by the other side"
        connection.close()


def test_messages_of_more_and_more_frames(listener: RawListener) -> None:
    connection, end = opened(listener)
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(end.send, frame(b"", more=True) * 200_000)
        assert wait_for_the_end(connection) == "it sends a message of too many frames"
        connection.close()
        with contextlib.suppress(ConnectionError):  # it was still sending
            sending.result(PATIENCE_S)


def test_a_flood_of_pings_costs_no_memory(listener: RawListener) -> None:
    """The peer does not read the answers; messages come through."""
    connection, end = opened(listener)
    before = resident()
    flood = ping(b"0123456789abcdef") * 100_000
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(end.send, *[flood] * 10, message(b"behind it"))
        assert connection.receive(3 * PATIENCE_S) == [b"behind it"]
        sending.result(PATIENCE_S)
    assert resident() - before < memory(30)
    assert connection.unsent == 0
    answer = pong(b"0123456789abcdef")
    assert end.read(len(answer)) == answer
    connection.close()


def test_answers_that_nobody_reads_cost_no_memory() -> None:
    """Also where pings come one after the other."""
    with RawListener(receive_buffer=4096) as listener:
        connection, end = opened(listener)
        before = resident()
        for _ in range(60_000):
            end.send(ping(b"0123456789abcdef") * 40)
            assert connection.receive(0.0) is None
        end.send(message(b"behind them"))
        assert connection.receive(PATIENCE_S) == [b"behind them"]
        assert resident() - before < memory(20)
        answer = pong(b"0123456789abcdef")
        assert end.read(len(answer)) == answer
        connection.close()


def test_a_flood_of_messages_costs_no_memory(listener: RawListener) -> None:
    """What nobody takes stays in the network."""
    connection, end = opened(listener)
    end.socket.setblocking(False)
    sent = message(b"", bytes(1000)) * 1000
    before = resident()
    flooded = 0
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        connection.wait(0.0)
        try:
            flooded += end.socket.send(sent)
        except BlockingIOError:
            break
    else:
        pytest.fail("it reads on and on")
    assert flooded > 0
    assert resident() - before < memory(20)
    connection.close()


def test_unknown_commands_are_skipped_whatever_their_size(listener: RawListener) -> None:
    connection, end = opened(listener)
    body = b"\x07UNKNOWN" + bytes(5 << 20)
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(
            end.send, b"\x06" + len(body).to_bytes(8, "big"), body, message(b"behind it")
        )
        assert connection.receive(PATIENCE_S) == [b"behind it"]
        sending.result(PATIENCE_S)
    connection.close()


def test_byte_by_byte(listener: RawListener) -> None:
    connection, end = begun(listener)
    with ThreadPoolExecutor(1) as sender:

        def drip() -> None:
            for byte in OPENING + message(b"", b"slow") + ping() + message(b"x" * 300):
                end.send(bytes([byte]))

        sending = sender.submit(drip)
        assert connection.receive(PATIENCE_S) == [b"", b"slow"]
        assert connection.receive(PATIENCE_S) == [b"x" * 300]
        sending.result(PATIENCE_S)
    assert end.read_opening() == b"DEALER"
    assert end.read(7) == pong()
    connection.close()


@pytest.mark.skipif(WINDOWS, reason="its buffers are of another kind")
def test_small_buffers_of_the_peer() -> None:
    """Everything leaves in pieces, in order."""
    with RawListener(receive_buffer=4096) as listener:
        connection, end = opened(listener)
        generator = random.Random(3)
        sent = [
            [
                generator.randbytes(generator.choice([0, 10, 3000, 20_000, 100_000]))
                for _ in range(3)
            ]
            for _ in range(100)
        ]
        for frames in sent:
            assert connection.send(frames)
        assert connection.unsent > 0
        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(lambda: [end.read_message() for _ in sent])
            while connection.unsent:
                connection.wait(PATIENCE_S)
            assert reading.result(PATIENCE_S) == sent
        connection.close()
