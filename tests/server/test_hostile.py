"""Whatever comes, an error reply goes back or the connection is closed; the server goes on."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import struct

import pytest
import zmq
from support.machine import LINUX
from support.peers import PATIENCE_S, Peer, ask, request
from support.raw_peers import RawPeer, connect_tcp
from support.serving import all_begun, serving
from support.waiting import wait_until

from laplace_server.protocol import LOGGER_NAME


@pytest.fixture(scope="module")
def servers(transport):
    """The current server, to be replaced where a test has killed it."""
    with contextlib.ExitStack() as stack:
        current = []

        def get():
            if not current or not current[-1].is_alive():
                arguments = {"data": {"x": [1]}, "max_message_bytes": 32 << 20}
                current.append(stack.enter_context(serving(**arguments)))
                all_begun(current[-1])
            return current[-1]

        get()
        yield get


@pytest.fixture
def server(servers):
    return servers()


@pytest.fixture(autouse=True)
def quiet_log():
    """Refused messages are logged in full, and some are large."""
    logger = logging.getLogger(LOGGER_NAME)
    logger.disabled = True
    yield
    logger.disabled = False


def nested(depth, opening="[", closing="]", inside=""):
    return (opening * depth + inside + closing * depth).encode()


def with_value(key, text):
    """A good PING, but for one member given as JSON text."""
    members = {"from": b'"me"', "cmd": b'"PING"', "payload": b"{}", "version": b'"0.2.2"'}
    members[key] = text
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in members.items()) + b"}"


GOOD = request("PING")
REFUSED = {
    "empty": b"",
    "space": b"   ",
    "0xff": b"\xff",
    "NUL": b"\0",
    "NULs": b"\0" * 1000,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 LE": GOOD.decode().encode("utf-16-le"),
    "UTF-32": GOOD.decode().encode("utf-32"),
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "latin 1": with_value("from", b'"\xe9"'),
    "overlong": with_value("from", b'"\xc0\xaf"'),
    "surrogate bytes": with_value("from", b'"\xed\xa0\x80"'),
    "cut in a character": with_value("from", b'"\xe2\x82')[:-1],
    "not JSON": b"hello",
    "single quotes": b"{'cmd': 'PING'}",
    "trailing comma": GOOD[:-1] + b",}",
    "trailing text": GOOD + b"x",
    "twice": GOOD + GOOD,
    "comment": b"/* */" + GOOD,
    "control character": with_value("from", b'"\n"'),
    "NUL in a text": with_value("from", b'"a\0b"'),
    "bad escape": with_value("from", rb'"\x41"'),
    "leading zero": with_value("payload", b"01"),
    "number": b"1",
    "string": b'"PING"',
    "null": b"null",
    "true": b"true",
    "array": b"[]",
    "object": b"{}",
    "array of requests": b"[" + GOOD + b"]",
    "only opening": b"[" * 100_000,
    "only opening objects": b'{"a":' * 100_000,
    "arrays 100k deep": nested(100_000),
    "objects 100k deep": nested(100_000, '{"a":', "}", "1"),
    "payload 100k deep": with_value("payload", nested(100_000)),
    "from 100k deep": with_value("from", nested(100_000)),
    "mixed 100k deep": with_value("payload", nested(50_000, '[{"a":', "}]", "1")),
    "100k digits": with_value("payload", b"1" * 100_000),
    "100k digits as sender": with_value("from", b"1" * 100_000),
    "100k digits as version": with_value("version", b"9" * 100_000),
    "minus 100k digits": with_value("payload", b"-" + b"1" * 100_000),
    "no version": b'{"from":"a","cmd":"PING","payload":{}}',
    "no cmd": b'{"from":"a","version":"0.2.2","payload":{}}',
    "no from": b'{"cmd":"PING","version":"0.2.2","payload":{}}',
    "no payload": b'{"from":"a","cmd":"PING","version":"0.2.2"}',
    "falsy from": with_value("from", b"0"),
    "cmd list": with_value("cmd", b'["PING"]'),
    "cmd dict": with_value("cmd", b'{"PING": 1}'),
    "cmd number": with_value("cmd", b"7"),
    "cmd true": with_value("cmd", b"true"),
    "cmd NaN": with_value("cmd", b"NaN"),
    "cmd of 10 MB": with_value("cmd", b'"' + b"x" * 10_000_000 + b'"'),
    "cmd with NUL": with_value("cmd", rb'"PING\u0000"'),
    "cmd lone surrogate": with_value("cmd", rb'"\ud800"'),
    "cmd 300 deep": with_value("cmd", nested(300)),
    "cmd 900 deep": with_value("cmd", nested(900)),
    "version list": with_value("version", b'["0.2.2"]'),
    "version dict": with_value("version", b'{"0.2.2": 1}'),
    "version 300 deep": with_value("version", nested(300, inside="1")),
    "version of 1 MB": with_value("version", b'"' + b"2" * 1_000_000 + b'"'),
    "version lone surrogate": with_value("version", rb'"\udfff"'),
    "SET without positions": request("SET", {}),
    "SET with a payload list": with_value("cmd", b'"SET"').replace(b"{}", b"[1]"),
    "SET with a payload text": with_value("cmd", b'"SET"').replace(b"{}", b'"positions"'),
    "SET with a payload null": with_value("cmd", b'"SET"').replace(b"{}", b"null"),
    "SET with a payload 300 deep": with_value("cmd", b'"SET"').replace(b"{}", nested(300)),
    "truncated": GOOD[:-1],
}

TAKEN = {
    "payload 200 deep": with_value("payload", nested(200)),
    "payload 900 deep": with_value("payload", nested(900)),
    "from 200 deep": with_value("from", nested(200)),
    "payload of 10 MB": with_value("payload", b'"' + b"x" * 10_000_000 + b'"'),
    "array of a million": with_value("payload", b"[" + b"1," * 1_000_000 + b"1]"),
    "object of 100k keys": with_value(
        "payload", b"{" + b",".join(b'"%d":%d' % (i, i) for i in range(100_000)) + b"}"
    ),
    "same key 100k times": with_value("payload", b"{" + b",".join([b'"a":1'] * 100_000) + b"}"),
    "from of 10 MB": with_value("from", b'"' + b"x" * 10_000_000 + b'"'),
    "from 1e999": with_value("from", b"1e999"),
    "from NaN": with_value("from", b"NaN"),
    "from lone surrogate": with_value("from", rb'"\ud800"'),
    "from with NUL": with_value("from", rb'"a\u0000b"'),
    "payload NaN": with_value("payload", b"NaN"),
    "4000 digits": with_value("from", b"1" * 4000),
    "space around": b" \n\t" * 100_000 + GOOD + b"\r\n" * 100_000,
}


def still_serves(server):
    reply = ask(server, "PING")
    assert reply["payload"] == {"PING": "PONG"}
    assert ask(server, "SET", {"positions": 1})["error_msg"] is None


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_an_error(server, name):
    with Peer(server) as peer:
        reply = peer.ask(REFUSED[name])
        assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
        assert isinstance(reply["error_msg"], str)
        assert reply["error_msg"]
        assert "stopping" not in reply["error_msg"]
        assert peer.ask("PING")["error_msg"] is None
    still_serves(server)


@pytest.mark.parametrize("name", TAKEN)
def test_strange_but_taken(server, name):
    with Peer(server) as peer:
        reply = peer.ask(TAKEN[name])
        assert reply["payload"] == {"PING": "PONG"}
        assert peer.ask("PING")["error_msg"] is None
    still_serves(server)


@pytest.mark.parametrize("cmd", ["PING", "GET", "INFO", "SET", "SCAN", "NOPE", "ECHO"])
def test_sender_of_any_depth(cmd):
    """From what is echoed natively, to what only Python can read, to what nobody can."""
    with serving(data={"x": 1}) as server, Peer(server) as peer:
        server.register_handler("ECHO", lambda s, m, t: m["payload"])
        for depth in [*range(235, 265), *range(300, 1400, 25), *range(960, 1010), 5000]:
            for key in ("from", "payload"):
                peer.send(with_value(key, nested(depth)).replace(b"PING", cmd.encode()))
                assert b"stopping" not in peer.receive_frames()[-1], depth
        assert server.is_alive()
        still_serves(server)


def test_every_truncation(server):
    body = request("SET", {"positions": [1.5, None, "é", {"a": [True]}]}, sender="ö")
    with Peer(server, zmq.DEALER) as peer:
        for end in range(len(body)):
            peer.send(body[:end])
        for _ in range(len(body)):
            assert peer.receive()["error_msg"]
    still_serves(server)


def test_every_byte_changed(server):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    random_ = random.Random(seed)
    body = request("PING")
    bodies = [
        body[:i] + bytes([value]) + body[i + 1 :]
        for i in range(len(body))
        for value in (0, 0x22, 0x5C, 0x7D, 0x80, 0xFF, random_.randrange(256))
    ]
    with Peer(server, zmq.DEALER) as peer:
        for start in range(0, len(bodies), 500):
            for each in bodies[start : start + 500]:
                peer.send(each)
            for each in bodies[start : start + 500]:
                try:
                    message = json.loads(each.decode())
                except ValueError:
                    message = None
                error = peer.receive()["error_msg"]
                if message is None:
                    assert error, each
    still_serves(server)


def test_random_bytes(server):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    random_ = random.Random(seed)
    with Peer(server, zmq.DEALER) as peer:
        for _ in range(500):
            peer.send(random_.randbytes(random_.randrange(200)))
        for _ in range(500):
            assert peer.receive()["error_msg"]
    still_serves(server)


def test_a_log_handler_that_raises_does_not_end_the_server(caplog):
    """As one that writes to a window which is gone."""

    class Broken(logging.Handler):
        def emit(self, record):
            raise RuntimeError("the window is gone")

    logger = logging.getLogger(LOGGER_NAME)
    logger.disabled = False
    handler = Broken()
    logger.addHandler(handler)
    try:
        with serving() as server, Peer(server) as peer:
            for cmd in ("SET", "NOPE", "PING", "SAVE"):
                peer.ask(cmd, {"positions": 1})
            peer.ask(b"not json")
            assert server.is_alive()
            logger.removeHandler(handler)
            still_serves(server)
    finally:
        logger.removeHandler(handler)


@pytest.mark.parametrize(
    "problem", [Exception, SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError]
)
def test_handlers_that_raise_anything(problem):
    def handler(server, message, target):
        raise problem("no")

    with serving() as server, Peer(server) as peer:
        server.register_handler("BAD", handler)
        server.set_on_position_changed(lambda p: handler(None, None, None))
        assert "no" in peer.ask("BAD")["error_msg"]
        peer.ask("SET", {"positions": 1})
        server.set_on_position_changed(None)
        still_serves(server)


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", {1, 2}, "x", 7, [1], lambda: None, type],
    ids=lambda v: type(v).__name__,
)
def test_handlers_that_return_what_cannot_be_sent(value):
    with serving() as server, Peer(server) as peer:
        server.register_handler("BAD", lambda s, m, t: value)
        server.register_handler("WORSE", lambda s, m, t: {"x": value})
        assert peer.ask("BAD")["error_msg"]
        peer.ask("WORSE")
        circle = {}
        circle["x"] = circle
        server.register_handler("CIRCLE", lambda s, m, t: circle)
        assert peer.ask("CIRCLE")["error_msg"]
        still_serves(server)


def test_oversize_message_closes_the_connection(transport):
    with serving(max_message_bytes=100_000) as server, RawPeer(server) as peer:
        with pytest.raises(ConnectionError):
            peer.send_frames([b"", b"x" * 100_001])
            if transport == "tcp":
                assert "too large" in peer.receive()["error_msg"]
            peer.receive()
        still_serves(server)


def test_announced_size_beyond_all_memory():
    with serving() as server:
        for size in (1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            with RawPeer(server) as peer:
                peer.socket.sendall(b"\x02" + struct.pack(">Q", size))
                with pytest.raises(ConnectionError):
                    peer.read_exactly(1)
        still_serves(server)


# ---- not even ZMTP

GREETING = RawPeer.GREETING
GARBAGE = {
    "nothing": b"",
    "one byte": b"\xff",
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("16030100f5010000f10303") + os.urandom(200),
    "NULs": bytes(10_000),
    "0xff": b"\xff" * 10_000,
    "half a greeting": GREETING[:20],
    "greeting only": GREETING,
    "greeting and half a READY": GREETING + RawPeer.ready()[:7],
    "unknown mechanism": GREETING[:12] + b"NOPE".ljust(20, b"\0") + bytes(32),
    "old ZMTP 2": GREETING[:10] + b"\x01\x05\x00\x00",
    "ZMTP 1": b"\x01\x00\x04\x00abc",
    "wrong socket type": GREETING + RawPeer.ready().replace(b"DEALER", b"SUBSCR"),
    "unknown command": GREETING + b"\x04\x06\x05HELLO",
    "bad READY": GREETING + b"\x04\xff" + b"\x05READY" + b"\xff" * 249,
    "message first": GREETING + b"\x00\x05hello",
    "READY, then garbage": GREETING + RawPeer.ready() + os.urandom(1000),
    "READY, then reserved flags": GREETING + RawPeer.ready() + b"\xf8\x01x",
    "half a message": GREETING + RawPeer.ready() + b"\x01\x00\x00\xffshort",
    "endless routing": GREETING + RawPeer.ready() + b"\x01\x01a" * 10_000,
    "ping of death": GREETING + RawPeer.ready() + b"\x04\x07\x04PING\x00\x01" * 1000,
    "random": os.urandom(100_000),
}


@pytest.mark.parametrize("closes", [True, False], ids=["closing", "staying"])
@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_on_the_port(server, name, closes):
    connection = connect_tcp(server)
    try:
        connection.settimeout(PATIENCE_S)
        try:
            connection.sendall(GARBAGE[name])
        except (ConnectionError, BrokenPipeError):
            assert GARBAGE[name]
        if closes:
            connection.close()
        still_serves(server)
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["HTTP", "TLS", "NULs", "old ZMTP 2", "ZMTP 1", "random"])
def test_what_is_older_than_zmtp_3_is_refused(server, name):
    """libzmq aborts the process when such a greeting arrives while the socket closes."""
    with connect_tcp(server) as connection:
        connection.settimeout(PATIENCE_S)
        try:
            connection.sendall(GARBAGE[name])
            while connection.recv(1000):  # the server's own greeting, then the end
                pass
        except ConnectionError:
            pass
    still_serves(server)


def test_connections_are_counted_right_after_garbage():
    with serving() as server:
        for data in GARBAGE.values():
            with connect_tcp(server) as connection:
                if not LINUX:
                    # The greeting: elsewhere what ends before it is accepted may not be told.
                    connection.recv(1)
                try:
                    connection.sendall(data)
                except ConnectionError:
                    continue
        wait_until(lambda: server.stats().connections_total == len(GARBAGE), "all were accepted")
        wait_until(lambda: server.stats().connections == 0, "all are gone")
        with Peer(server) as peer:
            peer.ask("PING")
            wait_until(lambda: server.stats().connections == 1, "it is counted")


def test_huge_numbers_of_frames(server):
    with Peer(server, zmq.DEALER) as peer:
        peer.send_frames([b"", *[b""] * 100_000])
        assert peer.receive()["error_msg"]
        peer.send_frames([*[b"r"] * 50_000, b"", request("PING")])
        assert len(peer.receive_frames()) == 50_002
    still_serves(server)
