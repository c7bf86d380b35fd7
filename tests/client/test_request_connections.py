"""What becomes of a request when its connection breaks, and what connections cost."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.isolated import Child
from support.machine import MACOS, WINDOWS, descriptors, have_ipv6, within
from support.peers import PATIENCE_S, address_of
from support.raw_server import RawServer, shake_hands
from support.scripted_server import ScriptedServer, answering, echo, reply_to
from support.serving import serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.client._frames import CLOSED_EARLY, REQ, Connection
from laplace_server.client.names import SILENT
from laplace_server.client.no_answer import SHORT_S, trouble_of
from laplace_server.errors import RequestTimeout

no_server = pytest.mark.transports()


def reason_of(address: str, timeout_s: float = 1.0) -> str | None:
    """Why a request had no answer, which must be told in time."""
    begun = time.monotonic()
    with ClientLHC(address, timeout_s=timeout_s) as client:
        with pytest.raises(RequestTimeout) as caught:
            client.get()
    assert timeout_s <= time.monotonic() - begun < timeout_s + within(1)
    return caught.value.reason


# ---- before the request could leave


@no_server
def test_who_closes_in_the_handshake_is_asked_again() -> None:
    with RawServer(lambda connection: None) as server:
        reason = reason_of(server.address)
        assert server.taken > 1
    assert reason == CLOSED_EARLY


@no_server
def test_an_attempt_cut_short_does_not_hide_why_the_one_before_failed() -> None:
    with RawServer(lambda connection: connection.recv(1 << 16)) as server:
        connection = Connection(REQ, "127.0.0.1", int(server.address.rpartition(":")[2]))
        while not connection.connected:
            connection.wait(PATIENCE_S)
        assert trouble_of(connection, "before", 0.0) == "before"
        assert trouble_of(connection, "before", SHORT_S) == SILENT
        assert trouble_of(connection, "", 0.0) == SILENT
        while not connection.broken:
            connection.wait(PATIENCE_S)
        assert trouble_of(connection, "before", 0.0) == CLOSED_EARLY
        connection.close()


@no_server
def test_what_is_no_zeromq_is_told() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with RawServer(talk) as server:
        reason = reason_of(server.address)
    assert reason is not None
    assert "ZMTP" in reason


@no_server
def test_another_mechanism_is_told() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0"))
        connection.sendall(bytes(32))
        while connection.recv(100):
            pass

    with RawServer(talk) as server:
        reason = reason_of(server.address)
    assert reason is not None
    assert "mechanism" in reason


@pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")
def test_a_name_leads_on_from_what_is_no_server() -> None:
    """Where 127.0.0.1 is none, [::1] may be one."""
    with RawServer(lambda connection: None) as other:
        port = other.address.rpartition(":")[2]
        with serving(f"tcp://[::1]:{port}", data={"x": 6}):
            with ClientLHC(f"tcp://localhost:{port}", timeout_s=PATIENCE_S) as client:
                assert client.get() == {"x": 6}


# ---- after it


@no_server
def test_a_request_that_was_handed_over_is_not_sent_again() -> None:
    """Nobody knows whether it has run, and the time is not up before it is."""
    bodies: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        bodies.append(shake_hands(connection).receive_frames()[-1])

    with RawServer(talk) as server:
        assert reason_of(server.address) is None
        assert (len(bodies), server.taken) == (1, 1)


@no_server
def test_close_wakes_a_request_whose_connection_broke() -> None:
    heard = threading.Event()

    def talk(connection: socket.socket) -> None:
        shake_hands(connection).receive_frames()
        heard.set()

    with RawServer(talk) as server, ThreadPoolExecutor(1) as threads:
        client = ClientLHC(server.address, timeout_s=3600)
        waiting = threads.submit(client.get)
        assert heard.wait(PATIENCE_S)
        client.close()
        with pytest.raises(RuntimeError, match="was closed during a request"):
            waiting.result(PATIENCE_S)


def test_what_broke_while_idle_is_replaced_before_anything_is_sent() -> None:
    with serving(data={"x": 1}) as first:
        address = address_of(first)
        client = ClientLHC(address, timeout_s=PATIENCE_S)
        assert client.get() == {"x": 1}
    with client, serving(address, data={"x": 2}):
        assert client.get() == {"x": 2}


@no_server
def test_what_comes_unasked_is_nobodys() -> None:
    """Also where it looks as an answer."""
    with ScriptedServer(answering(echo)) as server:
        with ClientLHC(server.address, timeout_s=PATIENCE_S) as client:
            assert client.request("ECHO", {"n": 1}) == {"n": 1}
            late = reply_to(server.hear_json(), {"n": 0})
            for n in range(2, 10):
                for frames in ([b"", b"{}"], [b""], [b"{}"], [b"", json.dumps(late).encode()]):
                    server.send(frames)
                assert client.request("ECHO", {"n": n}) == {"n": n}
                server.hear()


# ---- what they cost


@pytest.mark.skipif(WINDOWS, reason="counts no descriptors")
def test_a_descriptor_each(server: ServerLHC) -> None:
    server.publish("s", {})
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        before = descriptors()
        client.get()
        # One here, and one in the server.
        assert descriptors() <= before + 2
        with client.subscribe("s"), client.subscribe("s"):
            assert descriptors() <= before + 6
        wait_until(lambda: descriptors() <= before + 2, "they are closed")


FORK = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from laplace_server.client import ClientLHC
client = ClientLHC(sys.argv[1], timeout_s=20)
client.get()
updates = client.subscribe("s")
reading, writing = os.pipe()
child = os.fork()
if not child:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
client.get()
assert client.info()["streams"]
updates.close()
client.close()
print("closed", flush=True)
sys.stdin.readline()
os.close(writing)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(MACOS, reason="its libraries may abort a forked child")
def test_a_forked_child_keeps_no_connection_open(
    server: ServerLHC, make_child: Callable[..., Child]
) -> None:
    child = make_child(FORK, address_of(server))
    assert child.hear() == "closed"
    wait_until(lambda: server.stats().connections == 0, "the server sees that they are closed")
    child.tell("end")
    assert child.hear() == "0"
