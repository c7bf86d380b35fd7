"""Making a server: arguments, addresses, and what is left when it fails."""

from __future__ import annotations

import errno
import gc
import inspect
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from support.machine import WINDOWS, have_ipv6
from support.peers import Connect
from support.serving import MakeServer
from support.waiting import LIMIT_S

import laplace_server
from laplace_server.server import binding
from laplace_server.server_lhc import ServerLHC


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        if not WINDOWS:  # where it would take the port from others
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_names_and_defaults() -> None:
    assert laplace_server.ServerLHC is ServerLHC
    assert issubclass(ServerLHC, threading.Thread)
    parameters = inspect.signature(ServerLHC).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [
        "name",
        "address",
        "freedom",
        "device",
        "data",
        "empty_data_after_get",
        "time_poll_ms",
        "time_sleep_ms",
        "name_list",
        "plottables_list",
    ]
    defaults = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    assert defaults.pop("data") is None
    assert defaults.pop("name_list") is None
    assert defaults.pop("plottables_list") is None
    assert defaults == {
        "empty_data_after_get": False,
        "time_poll_ms": 100,
        "time_sleep_ms": 10,
        "accepted_versions": ("0.2.2",),
        "transport": None,
        "max_message_bytes": 64 << 20,
        "max_message_frames": None,
        "max_waiting_bytes": None,
        "max_connections": None,
        "max_connections_per_address": None,
        "max_subscriptions_per_connection": None,
        "handshake_timeout_ms": None,
        "remote_stop": True,
        "refresh_timeout_ms": 100,
        "spin_us": 200,
        "real_time": False,
        "stream_history_bytes": 64 << 20,
        "callback_errors": "log",
        "security": None,
        "describe": None,
        "check_limits": False,
        "when_moving": "follow",
    }


def test_attributes_of_a_server_with_defaults(make_server: MakeServer) -> None:
    server = make_server(start=False)
    assert (server.name, server.freedom, server.device, server.data) == ("tested", 1, "MOTOR", {})
    assert (server.name_list, server.plottables_list) == ([], [])
    assert server.empty_data_after_get is False
    assert server.server_ip == "127.0.0.1"
    assert isinstance(server.server_port, str)
    assert int(server.server_port) > 0
    assert server.address == f"tcp://127.0.0.1:{server.server_port}" == server.address_for_client
    assert isinstance(server.running, threading.Event)
    assert server.running.is_set()
    assert not server.daemon
    assert not server.is_alive()


def test_all_arguments_by_position(make_server: MakeServer, connect: Connect) -> None:
    data, names, plottables = {"a": 1}, ["n"], ["p"]
    server = ServerLHC(
        "by position", "tcp://127.0.0.1:*", 2, "GAS", data, True, 50, 5.5, names, plottables
    )
    try:
        server.start()
        client = connect(server)
        info = client.info()
        assert info["freedom"] == 2
        assert info["device"] == "GAS"
        assert (info["name_list"], info["plottables_list"]) == (["n"], ["p"])
        assert [client.get(), client.get()] == [{"a": 1}, {}]
        assert (server.time_poll_ms, server.time_sleep_ms) == (50, 5.5)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("wrong", "error", "text"),
    [
        ({"address": 5}, TypeError, "'address' must be str"),
        ({"address": None}, TypeError, "'address' must be str"),
        ({"address": b"tcp://127.0.0.1:*"}, TypeError, "'address' must be str"),
        ({"address": "udp://127.0.0.1:*"}, ValueError, "must start with 'tcp://'"),
        ({"address": ""}, ValueError, "must start with 'tcp://'"),
        ({"address": "tcp://127.0.0.1:65536"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://*:070000"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://[::1]:99999"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:" + "9" * 5000}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:-5"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:+5555"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:x"}, ValueError, "'*' for any free one"),
        ({"address": "tcp://127.0.0.1:5555x"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:5_5"}, ValueError, "from 0 to 65535"),
        ({"address": "tcp://127.0.0.1:５５５５"}, ValueError, "from 0 to 65535"),  # noqa: RUF001
        ({"address": "tcp://127.0.0.1:**"}, ValueError, "from 0 to 65535"),
        ({"freedom": "1"}, TypeError, "'freedom' must be int"),
        ({"freedom": 1.0}, TypeError, "'freedom' must be int"),
        ({"freedom": None}, TypeError, "'freedom' must be int"),
        ({"freedom": -1}, ValueError, "'freedom' must be positive"),
        ({"device": "LASER"}, ValueError, "Invalid device"),
        ({"device": "motor"}, ValueError, "Invalid device"),
        ({"device": None}, ValueError, "Invalid device"),
        ({"data": [1]}, TypeError, "data must be a dict"),
        pytest.param({"name_list": [object()]}, TypeError, "name_list", id="an object"),
        ({"refresh_timeout_ms": -1}, ValueError, "'refresh_timeout_ms' must be from 0 to"),
        ({"refresh_timeout_ms": 1 << 31}, ValueError, "'refresh_timeout_ms' must be from 0 to"),
        ({"refresh_timeout_ms": "1"}, TypeError, "'refresh_timeout_ms' must be int, not str"),
        ({"refresh_timeout_ms": 1.5}, TypeError, "'refresh_timeout_ms' must be int, not float"),
        ({"spin_us": -1}, ValueError, "'spin_us' must be from 0 to 1000, not -1"),
        ({"spin_us": 1001}, ValueError, "spin_us"),
        ({"spin_us": "1"}, TypeError, "'spin_us' must be int, not str"),
        ({"spin_us": True}, TypeError, "'spin_us' must be int, not bool"),
        ({"stream_history_bytes": -1}, ValueError, "'stream_history_bytes' must be 0 or more"),
        ({"stream_history_bytes": math.nan}, TypeError, "'stream_history_bytes' must be int, not"),
        ({"max_message_bytes": "1"}, TypeError, "'max_message_bytes' must be int, not str"),
        ({"max_message_bytes": None}, TypeError, "'max_message_bytes' must be int, not NoneType"),
        ({"max_message_bytes": True}, TypeError, "'max_message_bytes' must be int, not bool"),
        ({"max_message_bytes": 0}, ValueError, "'max_message_bytes' must be -1 or from 1 to"),
        ({"max_message_bytes": -2}, ValueError, "'max_message_bytes' must be -1 or from 1 to"),
        ({"max_message_bytes": 1 << 63}, ValueError, "'max_message_bytes' must be -1 or from 1 to"),
        ({"max_message_frames": 1}, ValueError, "'max_message_frames' must be from 2 to"),
        ({"max_message_frames": 2.0}, TypeError, "'max_message_frames' must be int, not float"),
        ({"max_waiting_bytes": True}, TypeError, "'max_waiting_bytes' must be int, not bool"),
        ({"max_waiting_bytes": 0}, ValueError, "'max_waiting_bytes' must be from 1 to"),
        ({"max_waiting_bytes": 1 << 63}, ValueError, "max_waiting_bytes"),
        ({"max_connections": 0}, ValueError, "'max_connections' must be from 1 to 2147483647"),
        ({"max_connections": 1 << 31}, ValueError, "not 2147483648"),
        ({"max_connections_per_address": 0}, ValueError, "max_connections_per_address"),
        ({"max_subscriptions_per_connection": 0}, ValueError, "max_subscriptions_per_connection"),
        ({"handshake_timeout_ms": 0}, ValueError, "'handshake_timeout_ms' must be from 1 to"),
        ({"transport": "udp"}, ValueError, "'transport' must be 'tcp', 'libzmq' or None, not"),
        ({"transport": ["tcp"]}, ValueError, "'transport' must be 'tcp', 'libzmq' or None, not"),
        ({"accepted_versions": ()}, ValueError, "accepted_versions"),
        ({"accepted_versions": 1}, TypeError, ""),
        ({"callback_errors": "raise"}, ValueError, "'callback_errors' must be 'log' or 'reply'"),
        ({"callback_errors": None}, ValueError, "callback_errors"),
        ({"callback_errors": ["reply"]}, ValueError, "callback_errors"),
    ],
    ids=str,
)
def test_a_wrong_argument_raises_and_leaves_the_port_free(
    make_server: MakeServer, wrong: dict[str, Any], error: type[Exception], text: str
) -> None:
    port = free_port()
    address = {} if "address" in wrong else {"address": f"tcp://127.0.0.1:{port}"}
    with pytest.raises(error) as caught:
        make_server(start=False, **address, **wrong)
    assert text in str(caught.value)
    # The exception is still held, and with it the frames: the port is free nevertheless.
    assert can_bind(port)
    make_server(address=f"tcp://127.0.0.1:{port}")


def test_a_bool_is_an_int(make_server: MakeServer, connect: Connect) -> None:
    assert connect(make_server(freedom=True)).info()["freedom"] in (1, True)


def test_a_taken_port_raises_and_the_next_works(make_server: MakeServer, connect: Connect) -> None:
    """As programs do it: the next port, until one is free."""
    first = make_server(data={"first": 1})
    with pytest.raises(zmq.ZMQError) as caught:
        make_server(address=first.address)
    assert caught.value.errno == zmq.EADDRINUSE
    assert first.address in str(caught.value)
    taken = int(first.server_port)
    for port in range(taken, taken + 50):
        try:
            second = make_server(address=f"tcp://127.0.0.1:{port}", data={"second": 1})
            break
        except zmq.ZMQError as problem:
            # Windows keeps some ports for itself.
            if problem.errno not in (zmq.EADDRINUSE, errno.EACCES):
                raise
    assert second.server_port == str(port) != first.server_port
    assert connect(second).get() == {"second": 1}
    assert connect(first).get() == {"first": 1}


def test_a_port_that_is_given_back_a_moment_late(
    make_server: MakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does it while clients have yet to close their connections to the server before."""
    monkeypatch.setattr(binding, "_BIND_PATIENCE_S", LIMIT_S)
    with socket.socket() as before:
        before.bind(("127.0.0.1", 0))
        before.listen()
        address = f"tcp://127.0.0.1:{before.getsockname()[1]}"
        tried = threading.Event()
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: tried.set())
        monkeypatch.setattr(binding, "time", clock)

        def give_back() -> None:
            assert tried.wait(LIMIT_S)
            before.close()

        giving = threading.Thread(target=give_back)
        giving.start()
        server = make_server(address=address)
        giving.join()
    assert connect(server).ask("PING")["error_msg"] is None
    monkeypatch.setattr(binding, "time", time)
    monkeypatch.setattr(binding, "_BIND_PATIENCE_S", 0.05)
    with pytest.raises(zmq.ZMQError) as caught:
        make_server(address=address)
    assert caught.value.errno == zmq.EADDRINUSE


def test_a_port_taken_by_another_program(make_server: MakeServer) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(zmq.ZMQError) as caught:
            make_server(address=f"tcp://127.0.0.1:{other.getsockname()[1]}")
        assert caught.value.errno == zmq.EADDRINUSE


@pytest.mark.parametrize(
    "address",
    [
        "tcp://no such host:5555",
        "tcp://192.0.2.1:5555",
        "tcp://é:5555",
        "tcp://\ud800:5555",
    ],
)
def test_an_address_that_cannot_be_bound(make_server: MakeServer, address: str) -> None:
    with pytest.raises((zmq.ZMQError, ValueError)):
        make_server(address=address)


@pytest.mark.parametrize(
    "address", ["tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://stage", "tcp://[::1]"]
)
def test_an_address_without_a_port(make_server: MakeServer, address: str) -> None:
    with pytest.raises(ValueError, match=r"must be 'tcp://host:port', with '\*' for any free port"):
        make_server(address=address)


def test_ports_with_leading_zeros(make_server: MakeServer, connect: Connect) -> None:
    port = free_port()
    padded = f"{port:07d}"
    server = make_server(address=f"tcp://*:{padded}")
    assert int(server.server_port) == port
    assert server.address == f"tcp://*:{server.server_port}"
    assert server.address_for_client.startswith("tcp://")
    assert connect(server).ask("PING")["error_msg"] is None
    with pytest.raises(zmq.ZMQError):
        make_server(address=f"tcp://*:{port}")


@pytest.mark.parametrize(
    "address", ["tcp://*:*", "tcp://0.0.0.0:*", "tcp://127.0.0.1:0", "tcp://*:0"]
)
def test_a_port_the_system_chooses(make_server: MakeServer, connect: Connect, address: str) -> None:
    server = make_server(address=address)
    assert int(server.server_port) > 0
    assert server.address.endswith(f":{server.server_port}")
    assert server.address_for_client == f"tcp://{server.server_ip}:{server.server_port}"
    assert "*" not in server.address_for_client
    assert "0.0.0.0" not in server.address_for_client
    assert connect(server).ask("PING")["error_msg"] is None


def test_what_a_client_is_told_to_connect_to(
    make_server: MakeServer, context: zmq.Context[Any]
) -> None:
    server = make_server(address="tcp://*:*", data={"a": 1})
    client = context.socket(zmq.REQ)
    client.rcvtimeo = 10_000
    client.connect(server.address_for_client)
    client.send_json({"from": "c", "cmd": "GET", "version": "0.2.2", "payload": {}})
    assert json.loads(client.recv())["payload"] == {"data": {"a": 1}}
    client.close()


@pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")
def test_ipv6(make_server: MakeServer, context: zmq.Context[Any]) -> None:
    server = make_server(address="tcp://[::1]:*")
    client = context.socket(zmq.REQ)
    client.ipv6 = True
    client.rcvtimeo = 10_000
    client.connect(server.address_for_client)
    client.send_json({"from": "c", "cmd": "PING", "version": "0.2.2", "payload": {}})
    assert json.loads(client.recv())["payload"] == {"PING": "PONG"}
    client.close()


def test_requests_sent_before_the_start_are_answered(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(start=False, data={"a": 1})
    client = connect(server)
    client.send("GET")
    assert not client.answered(0.05)
    server.start()
    assert client.receive()["payload"] == {"data": {"a": 1}}


def test_a_server_never_started_gives_its_port_back(make_server: MakeServer) -> None:
    def use(end: Callable[[ServerLHC], Any]) -> int:
        server = ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR")
        port = int(server.server_port)
        assert not can_bind(port)
        end(server)
        del server
        gc.collect()
        return port

    for end in (ServerLHC.stop, lambda server: None, lambda server: server.running.clear()):
        assert can_bind(use(end))


def test_the_data_given_is_the_callers(make_server: MakeServer, connect: Connect) -> None:
    data = {"a": [1]}
    server = make_server(data=data, empty_data_after_get=True)
    client = connect(server)
    assert [client.get(), client.get()] == [{"a": [1]}, {}]
    server.empty_data()
    assert data == {"a": [1]}
