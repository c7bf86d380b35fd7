"""A client's own connection, step by step: what it tells, how long it waits, how it ends."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from support.machine import WINDOWS
from support.peers import PATIENCE_S
from support.raw_listeners import (
    GREETING,
    OPENING,
    RawListener,
    begun,
    message,
    opened,
    pong,
    ready,
)
from support.waiting import wait_until

from laplace_server.client._frames import DEALER, REQ, Connection

pytestmark = pytest.mark.transports()  # no server


@pytest.fixture
def listener() -> Iterator[RawListener]:
    with RawListener() as made:
        yield made


def test_the_steps_of_a_connection(listener: RawListener) -> None:
    connection = Connection(REQ, "127.0.0.1", listener.port)
    assert connection.fileno() >= 0
    end = listener.accept()
    assert connection.send([b"", b"request"])
    assert connection.unsent == 11
    assert connection.receive(0.0) is None
    while not connection.connected:
        connection.wait(PATIENCE_S)
    assert end.read_opening() == b"REQ"
    end.send(GREETING)
    assert connection.receive(0.01) is None
    assert not connection.ready
    assert connection.unsent == 11
    end.send(ready())
    connection.wait(PATIENCE_S)
    assert connection.ready
    assert end.read_message() == [b"", b"request"]
    assert connection.unsent == 0
    end.send(message(b"", b"first") + message(b"second", b"of two"))
    connection.wait(PATIENCE_S)
    connection.wait(PATIENCE_S)  # does not take it
    assert connection.receive(0.0) == [b"", b"first"]
    assert connection.receive(0.0) == [b"second", b"of two"]
    end.send(message(b"last"))
    end.socket.close()
    connection.wait(PATIENCE_S)
    assert not connection.broken
    assert connection.receive(PATIENCE_S) == [b"last"]
    assert connection.receive(PATIENCE_S) is None
    assert connection.broken
    assert connection.trouble == "closed by the other side"
    assert not connection.send([b"", b"x"])
    assert connection.unsent == 0
    connection.close()
    connection.close()
    assert connection.broken


def test_an_answer_is_known_by_its_number(listener: RawListener) -> None:
    connection, end = opened(listener)
    assert connection.ask([b"one", b"", b"request"])
    assert end.read_message() == [b"one", b"", b"request"]
    others = [[b"zero", b"", b"old"], [b"one", b"x", b"text"], [b"one", b""], [b"one"]]
    end.send(*[message(*each) for each in others], message(b"one", b"", b"reply", b"array"))
    for _ in others:
        assert connection.answer(b"one", PATIENCE_S) is None
    assert connection.answer(b"one", PATIENCE_S) == [b"reply", b"array"]
    assert connection.answer(b"one", 0.0) is None
    connection.close()
    assert not connection.ask([b"two", b"", b"request"])


def test_nothing_is_asked_where_something_is_left(listener: RawListener) -> None:
    connection, end = opened(listener)
    end.send(message(b"unasked"))
    connection.wait(PATIENCE_S)
    assert not connection.ask([b"one", b"", b"request"])
    assert connection.receive(0.0) == [b"unasked"]
    assert connection.ask([b"one", b"", b"request"])
    assert end.read_message() == [b"one", b"", b"request"]
    connection.close()


def test_nothing_is_asked_of_who_has_gone(listener: RawListener) -> None:
    connection, end = opened(listener)
    end.socket.close()
    wait_until(lambda: not connection.ask([b"one", b"", b"request"]), "the end is noticed")
    assert connection.broken
    connection.close()


def test_the_end_is_told_behind_what_came(listener: RawListener) -> None:
    connection, end = opened(listener)
    end.send(*[message(b"%d" % number) for number in range(1000)])
    end.socket.close()
    for number in range(1000):
        assert not connection.broken
        assert connection.receive(PATIENCE_S) == [b"%d" % number]
    connection.wait(PATIENCE_S)
    assert connection.broken
    connection.close()


def test_nobody_listens(refused: int) -> None:
    connection = Connection(REQ, "127.0.0.1", refused)
    assert connection.send([b"", b"x"]) is not connection.broken
    assert connection.receive(PATIENCE_S) is None
    assert connection.broken
    assert connection.refused
    assert not connection.connected
    assert connection.trouble == "connection refused"
    assert connection.unsent == 0
    before = time.monotonic()
    connection.wait(PATIENCE_S)
    assert connection.receive(PATIENCE_S) is None
    assert time.monotonic() - before < PATIENCE_S / 2
    connection.close()
    assert connection.refused


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((7, "127.0.0.1", 1), ValueError, "no such type"),
        ((REQ, "localhost", 1), ValueError, "'localhost' is no numeric address"),
        ((REQ, "[::1]", 1), ValueError, "no numeric address"),
        ((REQ, "", 1), ValueError, "no numeric address"),
        ((REQ, "::1%nowhere", 1), ValueError, "no numeric address"),
        ((REQ, "127.0.0.1\0", 1), ValueError, "no numeric address"),
        ((REQ, "\udcff", 1), ValueError, "surrogates"),
        ((REQ, "127.0.0.1", 0), ValueError, "there is no port 0"),
        ((REQ, "127.0.0.1", 65536), ValueError, "there is no port 65536"),
        ((REQ, "127.0.0.1", -1), ValueError, "there is no port -1"),
        ((REQ, "127.0.0.1", "1"), TypeError, "int"),
        ((REQ, None, 1), TypeError, "None"),
        ((REQ, b"127.0.0.1", 1), TypeError, "bytes"),
        ((), TypeError, "arguments"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Connection(*arguments)
    os.fstat(0)  # what was never opened is not closed, whatever number it might have had


def test_wrong_frames(listener: RawListener) -> None:
    connection, end = opened(listener, REQ)
    for wrong in (["text"], [b"", None], [b"x" * 100_000, 5], 5, b"bytes", "text"):
        with pytest.raises(TypeError):
            connection.send(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one frame at least"):
        connection.send([])
    assert connection.unsent == 0
    assert connection.send((b"", b"right"))
    assert end.read_message() == [b"", b"right"]
    connection.close()


def test_an_unreachable_network_is_told() -> None:
    connection = Connection(REQ, "255.255.255.255", 5555)
    connection.wait(1.0)
    assert connection.refused
    assert connection.trouble
    assert connection.trouble != "connection refused"
    connection.close()


# ---- times


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 0.05, 0.3])
def test_nothing_waits_longer_than_it_may(listener: RawListener, seconds: float) -> None:
    connection, _ = opened(listener, REQ)
    for wait in (connection.receive, connection.wait):
        before = time.monotonic()
        assert wait(seconds) is None
        passed = time.monotonic() - before
        assert passed >= (0.99 * seconds if seconds > 0 else 0)
        assert passed < PATIENCE_S / 2
    connection.close()


def test_infinite_time_is_a_long_one(listener: RawListener) -> None:
    connection, end = opened(listener, REQ)
    with ThreadPoolExecutor(1) as other:
        received = other.submit(connection.receive, float("inf"))
        end.send(message(b"at last"))
        assert received.result(PATIENCE_S) == [b"at last"]
    connection.close()


def test_what_has_come_needs_no_time(listener: RawListener) -> None:
    connection, end = opened(listener)
    sent = [message(b"x" * size) for size in (1, 100, 5000, 20_000, 7000)]
    for _ in range(3):
        end.send(*sent)
        end.send(message(b"end"))
        got: list[Any] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(got) < 6 and time.monotonic() < deadline:
            got.extend(iter(partial(connection.receive, 0.0), None))
        assert [len(frames[0]) for frames in got] == [1, 100, 5000, 20_000, 7000, 3]
    connection.close()


# ---- both ways


def test_64_mib_both_ways_at_once(listener: RawListener) -> None:
    connection, end = opened(listener)
    body = bytes(range(256)) * (1 << 18)

    with ThreadPoolExecutor(2) as threads:
        sending = threads.submit(end.send, message(b"", body))
        assert connection.send([b"", body, b"tail"])
        reading = threads.submit(end.read_message)
        assert connection.receive(PATIENCE_S) == [b"", body]
        while connection.unsent:
            connection.wait(PATIENCE_S)
            assert not connection.broken
        assert reading.result(PATIENCE_S) == [b"", body, b"tail"]
        sending.result(PATIENCE_S)
    connection.close()


def test_a_peer_that_does_not_read_blocks_nothing(listener: RawListener) -> None:
    connection, end = opened(listener)
    sent = 0
    while connection.unsent < 20 << 20:
        assert connection.send([b"", b"%d" % sent, bytes(300_000)])
        sent += 1
    for _ in range(10):
        assert connection.send([b"", b"%d" % sent])
        sent += 1
    end.send(message(b"still heard"))
    assert connection.receive(PATIENCE_S) == [b"still heard"]
    before = time.monotonic()
    assert connection.receive(0.05) is None
    assert time.monotonic() - before < PATIENCE_S / 4
    assert connection.unsent > 0

    def read_all() -> None:
        for number in range(sent):
            assert end.read_message()[1] == b"%d" % number

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_all)
        while connection.unsent:
            connection.wait(PATIENCE_S)
        reading.result(PATIENCE_S)
    connection.close()


def test_answers_to_pings_go_between_messages(listener: RawListener) -> None:
    connection, end = opened(listener)
    body = bytes(20 << 20)
    assert connection.send([b"", body])
    assert connection.unsent
    end.send(b"\x04\x09\x04PING\x00\x00ab")
    connection.wait(0.05)
    assert connection.send([b"", b"next"])

    def read_all() -> bytes:
        return end.read(2 + 9 + len(body)) + end.read(len(pong(b"ab")) + len(message(b"", b"next")))

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read_all)
        while connection.unsent:
            connection.wait(PATIENCE_S)
        got = reading.result(PATIENCE_S)
    assert got[11 + len(body) :] == pong(b"ab") + message(b"", b"next")
    connection.close()


def test_one_thread_at_a_time(listener: RawListener) -> None:
    connection, end = opened(listener)
    refused = 0
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(connection.receive, PATIENCE_S)

        def in_use() -> bool:
            try:
                assert connection.receive(0.0) is None
            except RuntimeError as error:
                return str(error) == "another thread is using this connection"
            return False

        wait_until(in_use, "the other thread waits")
        for use in (
            lambda: connection.send([b"", b"x"]),
            lambda: connection.wait(0),
            lambda: connection.close(),
        ):
            try:
                use()
            except RuntimeError:
                refused += 1
        assert connection.ready  # properties may be read
        assert connection.unsent == 0
        end.send(message(b"for the other"))
        assert waiting.result(PATIENCE_S) == [b"for the other"]
    assert refused >= 2  # it may have been between two waits
    connection.close()


# ---- the end


def test_what_was_not_sent_has_a_moment_to_leave(listener: RawListener) -> None:
    body = bytes(30 << 20)
    for linger_s, arrives in ((PATIENCE_S, True), (0.0, False)):
        connection, end = opened(listener)
        assert connection.send([b"", body])
        # Nobody reads these any more. They are there at once: more would come to a closed socket.
        end.send(*[message(b"", bytes(10_000))] * 5)

        def read() -> bool:
            try:
                return end.read_message() == [b"", body] and end.ended()  # noqa: B023
            except (ConnectionError, TimeoutError):
                return False

        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(read)
            connection.close(linger_s)
            assert connection.fileno() == -1
            assert reading.result(PATIENCE_S) is arrives


def test_no_peer_makes_closing_take_longer(listener: RawListener) -> None:
    connection, _ = opened(listener)
    connection.send([bytes(50 << 20)])
    before = time.monotonic()
    connection.close(0.05)
    assert 0.04 < time.monotonic() - before < PATIENCE_S / 4
    silent = Connection(DEALER, "127.0.0.1", listener.port)
    silent.send([b"held for a handshake that never comes"])
    before = time.monotonic()
    silent.close(0.05)
    assert time.monotonic() - before < PATIENCE_S / 4


def test_a_closed_connection_does_nothing(listener: RawListener) -> None:
    connection, end = opened(listener)
    end.send(message(b"unread"))
    connection.wait(PATIENCE_S)
    connection.close()
    assert connection.broken
    assert connection.trouble == "it was closed"
    assert not connection.send([b"x"])
    assert connection.receive(PATIENCE_S) is None
    connection.wait(PATIENCE_S)
    connection.interrupt()
    connection.close(PATIENCE_S)
    assert end.ended()


def test_one_that_is_collected_is_closed(listener: RawListener) -> None:
    connection, end = opened(listener)
    connection.send([bytes(50 << 20)])
    del connection
    end.read(11)
    with pytest.raises(ConnectionError):
        end.read(50 << 20)


@pytest.mark.skipif(WINDOWS, reason="there it is told as an end, too")
def test_a_reset_is_told(listener: RawListener) -> None:
    connection, end = opened(listener)
    end.reset()
    assert connection.receive(PATIENCE_S) is None
    assert connection.trouble == os.strerror(errno.ECONNRESET)
    connection.close()


# ---- interrupt()


@pytest.mark.parametrize("state", ["connecting", "in the handshake", "ready", "sending"])
def test_whoever_waits_is_woken(listener: RawListener, state: str) -> None:
    if state == "connecting":
        connection = Connection(DEALER, "192.0.2.1", 9)  # nobody's
    elif state == "in the handshake":
        connection, end = begun(listener)
        end.send(OPENING[:-1])
    else:
        connection, end = opened(listener)
        if state == "sending":
            connection.send([bytes(50 << 20)])
    waits = threading.Event()

    def wait() -> float:
        waits.set()
        assert connection.receive(4 * PATIENCE_S) is None
        return time.monotonic()

    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(wait)
        assert waits.wait(PATIENCE_S)
        before = time.monotonic()
        connection.interrupt()
        assert waiting.result(PATIENCE_S) - before < PATIENCE_S / 4
    before = time.monotonic()
    assert connection.receive(PATIENCE_S) is None
    connection.wait(PATIENCE_S)
    assert time.monotonic() - before < PATIENCE_S / 4
    connection.close()


def test_an_interrupted_one_still_says_goodbye(listener: RawListener) -> None:
    connection, end = opened(listener)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(connection.receive, PATIENCE_S)
        wait_until(lambda: waiting.running(), "it waits")
        connection.interrupt()
        assert waiting.result(PATIENCE_S) is None
    assert connection.send([b"", b"the last word"])
    connection.close(PATIENCE_S)
    assert end.read_message() == [b"", b"the last word"]
    assert end.ended()
