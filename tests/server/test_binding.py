"""Addresses to listen at: both transports take the same, name them alike, and fail alike."""

from __future__ import annotations

import errno
import re
import socket

import psutil
import pytest
import zmq
from support.machine import have_ipv6
from support.peers import PATIENCE_S, Peer, ask
from support.raw_peers import listens
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.server.transports import Transport

pytestmark = pytest.mark.transports()

TRANSPORTS: tuple[Transport, ...] = ("tcp", "libzmq")
IPV6 = pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")


def interface() -> str:
    """The name of the one that has 127.0.0.1."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == "127.0.0.1" for each in addresses):
            return name
    pytest.skip("no interface has 127.0.0.1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def without_port(address: str) -> str:
    return re.sub(r":\d+$", ":port", address)


def named(server: ServerLHC) -> tuple[str, ...]:
    """What a server says of where it is."""
    assert server.address.endswith(f":{server.server_port}")
    assert int(server.server_port) > 0
    addresses = server.address, server.address_for_client
    return *map(without_port, addresses), server.server_ip


# Host as given, and where a client on this machine finds the server.
HOSTS = [
    ("*", "127.0.0.1"),
    ("0.0.0.0", "127.0.0.1"),
    ("127.0.0.1", "127.0.0.1"),
    ("localhost", "127.0.0.1"),
    ("{interface}", "127.0.0.1"),
    pytest.param("[::1]", "[::1]", marks=IPV6),
    pytest.param("[::]", "[::1]", marks=IPV6),
    pytest.param("[::]", "127.0.0.1", marks=IPV6, id="both of [::]"),
    pytest.param("[*]", "[::1]", marks=IPV6),
]


@pytest.mark.parametrize("port", ["*", "0", "{port}"])
@pytest.mark.parametrize(("host", "found_at"), HOSTS)
def test_a_server_at(make_server: MakeServer, host: str, found_at: str, port: str) -> None:
    name = host.format(interface=interface()) if "{" in host else host
    seen = []
    for transport in TRANSPORTS:
        given = f"tcp://{name}:{port.format(port=free_port())}"
        server = make_server(address=given, transport=transport, data={"x": 1})
        seen.append(named(server))
        with ClientLHC(f"tcp://{found_at}:{server.server_port}", timeout_s=PATIENCE_S) as client:
            assert client.get() == {"x": 1}
        server.stop()
    assert seen[0] == seen[1]


def error_of(address: str, transport: Transport) -> zmq.ZMQError:
    with pytest.raises(zmq.ZMQError) as raised:
        ServerLHC("device", address, 1, "MOTOR", transport=transport)
    return raised.value


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("tcp://203.0.113.1:{port}", errno.EADDRNOTAVAIL),
        ("tcp://no-such-host.invalid:{port}", errno.ENODEV),
        ("tcp://no_such_interface:{port}", errno.ENODEV),
        ("tcp://256.0.0.1:{port}", errno.ENODEV),
        pytest.param("tcp://[2001:db8::1]:{port}", errno.EADDRNOTAVAIL, marks=IPV6),
    ],
)
def test_where_no_server_can_be(address: str, number: int) -> None:
    given = address.format(port=free_port())
    ours, theirs = (error_of(given, transport) for transport in TRANSPORTS)
    assert (ours.errno, str(ours)) == (theirs.errno, str(theirs))
    assert ours.errno == number


@pytest.mark.parametrize("host", ["127.0.0.1", "*", "localhost"])
@pytest.mark.parametrize("second", TRANSPORTS)
@pytest.mark.parametrize("first", TRANSPORTS)
def test_a_port_that_is_taken(
    make_server: MakeServer, first: Transport, second: Transport, host: str
) -> None:
    holder = make_server(transport=first)
    address = f"tcp://{host}:{holder.server_port}"
    error = error_of(address, second)
    assert (error.errno, str(error)) == (
        errno.EADDRINUSE,
        f"{zmq.ZMQError(errno.EADDRINUSE)} (addr={address!r})",
    )
    assert ask(holder, "PING")["error_msg"] is None


@pytest.mark.parametrize("second", TRANSPORTS)
@pytest.mark.parametrize("first", TRANSPORTS)
def test_a_port_is_free_at_once(
    make_server: MakeServer, first: Transport, second: Transport
) -> None:
    """Also where clients of the server before are still there, and connect again."""
    server = make_server(transport=first)
    with Peer(server, zmq.DEALER) as client:
        assert client.ask("PING")["error_msg"] is None
        server.stop()
        assert not listens(server.server_port)
        again = make_server(address=server.address, transport=second)
        # What libzmq's client is given before it has seen the end of its connection is lost.
        wait_until(lambda: again.stats().connections == 1, "the client is back")
        assert client.ask("PING")["error_msg"] is None
