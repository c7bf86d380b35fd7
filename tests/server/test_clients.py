"""Who is there: clients(), callbacks for who comes and goes, stats()."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any

import pytest
import zmq
from support.isolated import Child
from support.peers import PATIENCE_S, Peer, address_of, request
from support.secure import Lab
from support.serving import MakeServer, client_of, serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.stats import ClientStats

GONE_S = 15.0  # whoever polls counts for 10 s


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server(data={"x": 1.5})
    server.declare_stream("shots")
    return server


@pytest.fixture
def host(transport: str | None) -> str:
    """What a server knows of where a client is."""
    return "" if transport == "libzmq" else "127.0.0.1"


def only(server: ServerLHC) -> ClientStats:
    (client,) = server.clients()
    return client


def test_a_client_is_told_with_what_it_does(
    server: ServerLHC, host: str, transport: str | None
) -> None:
    assert server.clients() == []
    begun = time.time()
    with ClientLHC(address_of(server), name="master", timeout_s=PATIENCE_S) as client:
        client.get()
        seen = only(server)
        assert (seen.name, seen.address, seen.key) == ("master", host, "")
        assert seen.last_command == "GET"
        assert seen.connections == (0 if transport == "libzmq" else 1)
        assert begun - 0.1 <= seen.since <= seen.last_request + 0.1 <= time.time() + 0.2
        assert seen.subscriptions == ()
        for _ in range(3):  # the second one alike is known by its bytes
            client.ping()
        assert only(server).last_command == "PING"
        client.save("/a")
        assert only(server).last_command == "SAVE"
        with client.subscribe("shots"), client.subscribe("shots"):
            assert only(server).subscriptions == ("shots", "shots")
        wait_until(lambda: only(server).subscriptions == (), "they have ended")


def test_clients_are_told_apart_by_name(server: ServerLHC) -> None:
    names = ["one", "two", "drei €", 'quo"te']
    for name in names:
        with ClientLHC(address_of(server), name=name, timeout_s=PATIENCE_S) as client:
            client.ping()
    assert [each.name for each in server.clients()] == names


def test_a_name_is_one_however_it_is_written(server: ServerLHC) -> None:
    for text in (b'"\\u00e9"', '"é"'.encode(), b'{"id":3}', b'{ "id" : 3 }'):
        with Peer(server) as peer:
            peer.socket.send(request("PING", sender="?").replace(b'"?"', text))
            assert peer.socket.poll(int(PATIENCE_S * 1e3))
            peer.socket.recv()
    assert [each.name for each in server.clients()] == ["é", {"id": 3}]


@pytest.mark.parametrize("sender", [5, [1, "a"], {"id": 3}, True])
def test_a_name_may_be_any_json(server: ServerLHC, sender: Any) -> None:
    with Peer(server) as peer:
        peer.socket.send(request("PING", sender=sender))
        assert peer.socket.poll(int(PATIENCE_S * 1e3))
        peer.socket.recv()
    assert only(server).name == sender


def no_constant(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


def test_a_number_beyond_floats_is_told_as_text(server: ServerLHC) -> None:
    with Peer(server) as peer:
        for name in (b'{"id":-1e999}', b'"Infinity"', b"1e999", b'"monitor"'):
            peer.socket.send(request("STATS", sender="?").replace(b'"?"', name))
            assert peer.socket.poll(int(PATIENCE_S * 1e3))
            reply = peer.socket.recv()
    clients = json.loads(reply, parse_constant=no_constant)["payload"]["clients"]
    names = [each["name"] for each in clients]
    assert names == [{"id": "-1e999"}, "Infinity", "1e999", "monitor"]
    assert names == [each.name for each in server.clients()]


def test_who_polls_by_short_connections_is_one_client(server: ServerLHC) -> None:
    first = None
    for _ in range(5):
        with Peer(server) as peer:
            peer.socket.send(request("GET", sender="poller"))
            assert peer.socket.poll(int(PATIENCE_S * 1e3))
            peer.socket.recv()
        seen = only(server)
        first = first or seen
        assert seen.since == pytest.approx(first.since, abs=0.5)
    wait_until(lambda: only(server).connections == 0, "its last connection is closed")


def test_clients_behind_a_proxy_are_several(server: ServerLHC, context: zmq.Context[Any]) -> None:
    with context.socket(zmq.DEALER) as dealer:
        dealer.connect(address_of(server))
        for name in ("a", "b", "a"):
            dealer.send_multipart([name.encode(), b"", request("PING", sender=name)])
            assert dealer.poll(int(PATIENCE_S * 1e3))
            dealer.recv_multipart()
    assert [each.name for each in server.clients()] == ["a", "b"]


def test_stats_tell_the_same(server: ServerLHC, host: str) -> None:
    with client_of(server) as client:
        told = client.stats()
        (seen,) = told["clients"]
        assert (seen["name"], seen["address"]) == (client.name, host)
        assert seen["last_command"] == "STATS"
        assert told["clients_left_out"] == 0
        assert [each.name for each in server.stats().clients] == [client.name]
    with ClientLHC(address_of(server), name="x" * 300, timeout_s=PATIENCE_S) as client:
        client.ping()
    assert server.stats().clients_left_out == 1


def test_a_client_with_a_key_follows_for_itself() -> None:
    lab = Lab("view")
    with lab.serving(transport="tcp") as server, contextlib.ExitStack() as stack:
        server.declare_stream("shots")
        for security in (lab.client("view"), None):
            client = ClientLHC(address_of(server), "same", PATIENCE_S, security=security)
            stack.enter_context(client).ping()
            if security is not None:
                stack.enter_context(client.subscribe("shots"))
        assert {bool(each.key): each.subscriptions for each in server.clients()} == {
            True: ("shots",),
            False: (),
        }


def test_a_client_has_the_name_of_its_key() -> None:
    lab = Lab("view")
    with lab.serving(transport="tcp") as server:
        address = address_of(server)
        for security in (lab.client("view"), None):
            with ClientLHC(address, "same", PATIENCE_S, security=security) as client:
                client.ping()
        keyed, anonymous = server.clients()
        assert (keyed.name, anonymous.name) == ("same", "same")
        assert keyed.key
        assert anonymous.key == ""


# ---- callbacks

CLIENT = """
import sys
from laplace_server.client import ClientLHC
client = ClientLHC(sys.argv[1], name=sys.argv[2])
client.ping()
print("ready", flush=True)
sys.stdin.readline()
"""


class Told:
    def __init__(self, server: ServerLHC) -> None:
        self.said: list[tuple[str, str, int | None]] = []
        server.set_on_client_joined(lambda client: self.note("joined", client))
        server.set_on_client_left(lambda client: self.note("left", client))

    def note(self, word: str, client: ClientStats) -> None:
        self.said.append((word, client.name, threading.get_ident()))

    @property
    def words(self) -> list[tuple[str, str]]:
        return [each[:2] for each in self.said]


@pytest.fixture
def told(server: ServerLHC) -> Told:
    return Told(server)


def test_a_killed_client_has_left(server: ServerLHC, told: Told) -> None:
    child = Child(CLIENT, address_of(server), "camera view")
    try:
        assert child.hear() == "ready"
        wait_until(lambda: told.words == [("joined", "camera view")], "it is told")
        assert told.said[0][2] == server.ident  # as all callbacks
    finally:
        child.close()
    wait_until(lambda: len(told.words) == 2, "it has left", GONE_S + PATIENCE_S)
    assert told.words[1] == ("left", "camera view")
    assert server.clients() == []


def test_a_client_that_was_there_for_long_has_left_soon_after_its_end(
    server: ServerLHC, told: Told, transport: str | None
) -> None:
    if transport == "libzmq":
        pytest.skip("it does not tell of the end of connections")
    with client_of(server) as client:
        client.ping()
        begun = time.monotonic()
        while time.monotonic() < begun + 5.2:  # from then on it is no poll
            time.sleep(0.1)
        assert only(server).connections == 1  # though it has said nothing
        client.ping()
    wait_until(lambda: server.clients() == [], "it has left", PATIENCE_S)
    wait_until(lambda: [word for word, _ in told.words] == ["joined", "left"], "it is told")


def test_who_is_there_already_is_told(server: ServerLHC) -> None:
    with client_of(server) as client:
        client.ping()
        told = Told(server)
        wait_until(lambda: told.words == [("joined", client.name)], "it is told")


def test_a_callback_that_comes_late_is_told_who_is_there(server: ServerLHC) -> None:
    late: list[str] = []
    with client_of(server) as client:
        client.ping()
        told = Told(server)
        wait_until(lambda: told.words == [("joined", client.name)], "it is told")
        server.set_on_client_joined(lambda client: late.append(client.name))
        wait_until(lambda: late == [client.name], "the new one is told, too")


def test_a_callback_may_set_another_one(server: ServerLHC) -> None:
    said: list[tuple[int, str]] = []

    def first(client: ClientStats) -> None:
        said.append((1, client.name))
        server.set_on_client_joined(lambda client: said.append((2, client.name)))

    names = ["a", "b", "c"]
    for name in names:
        with ClientLHC(address_of(server), name=name, timeout_s=PATIENCE_S) as client:
            client.ping()
    server.set_on_client_joined(first)
    wait_until(lambda: len(said) >= 4, "both are called")
    assert said == [(1, "a"), (2, "a"), (2, "b"), (2, "c")]


def test_nobody_is_told_of_after_stop(server: ServerLHC) -> None:
    said: list[str] = []

    def stop(client: ClientStats) -> None:
        said.append(client.name)
        server.stop()

    for name in "abc":
        with ClientLHC(address_of(server), name=name, timeout_s=PATIENCE_S) as client:
            client.ping()
    server.set_on_client_joined(stop)
    server.join(PATIENCE_S)
    assert not server.is_alive()
    assert said == ["a"]


def test_what_a_callback_raises_harms_nobody(
    server: ServerLHC, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(client: ClientStats) -> None:
        raise LookupError(client.name)

    server.set_on_client_joined(fail)
    with client_of(server) as client:
        client.ping()
        wait_until(lambda: "on_client_joined" in server.stats().callback_errors, "it is called")
        assert "LookupError" in caplog.text
        client.set([1])  # Python goes on
        server.set_on_client_joined(None)
        assert server.stats().running is None


def test_what_is_running_is_told(server: ServerLHC) -> None:
    begun, gate = threading.Event(), threading.Event()

    def wait(client: ClientStats) -> None:
        begun.set()
        gate.wait(PATIENCE_S)

    server.set_on_client_joined(wait)
    with client_of(server) as client:
        client.ping()
        assert begun.wait(PATIENCE_S)
        running = server.stats().running
        gate.set()
    assert running is not None
    assert running.what == "clients (on_client_joined)"


async def coroutine(client: ClientStats) -> None:
    raise AssertionError(client)


@pytest.mark.parametrize("func", [5, coroutine])
def test_what_cannot_be_called_is_refused(server: ServerLHC, func: Any) -> None:
    for register in (server.set_on_client_joined, server.set_on_client_left):
        with pytest.raises(TypeError):
            register(func)


def test_programs_may_have_names_like_these() -> None:
    class Own(ServerLHC):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            self.clients = ["mine"]  # type: ignore[method-assign, assignment]
            super().__init__(*arguments, **named)

        def on_client_joined(self) -> None:
            raise AssertionError("called by the server")

    with serving(kind=Own) as server:
        with client_of(server) as client:
            client.ping()
            assert server.clients == ["mine"]
            assert [each.name for each in server.stats().clients] == [client.name]


def test_threads_may_ask_while_clients_come_and_go(server: ServerLHC) -> None:
    ending = threading.Event()
    problems: list[BaseException] = []

    def look() -> None:
        try:
            while not ending.is_set():
                server.clients()
        except BaseException as problem:
            problems.append(problem)

    def come_and_go(prefix: str) -> None:
        for number in range(30):
            name = f"{prefix}{number % 7}"
            with ClientLHC(address_of(server), name=name, timeout_s=PATIENCE_S) as client:
                client.ping()

    threads = [threading.Thread(target=look) for _ in range(2)]
    threads += [threading.Thread(target=come_and_go, args=(prefix,)) for prefix in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads[2:]:
        thread.join()
    ending.set()
    for thread in threads[:2]:
        thread.join()
    assert problems == []
    assert len(server.clients()) == 14
