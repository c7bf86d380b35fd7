"""The address that clients are told, whatever network the machine has."""

from __future__ import annotations

import functools
import logging
import shutil
import socket
import subprocess
import sys
from ipaddress import ip_address
from typing import Any

import psutil
import pytest
from support.isolated import environment
from support.serving import MakeServer

from laplace_server.get_ip import get_ip
from laplace_server.server import _core, addresses
from laplace_server.server.addresses import Interface, best_interface

LOOPBACK = Interface("lo", ip_address("127.0.0.1"), True, True, False)
LOOPBACK6 = Interface("lo", ip_address("::1"), True, True, False)


def interface(
    name: str, address: str, running: bool = True, loopback: bool = False, internal: bool = False
) -> Interface:
    return Interface(name, ip_address(address), running, loopback, internal)


ETH0 = interface("eth0", "10.1.0.1")
ETH1 = interface("eth1", "10.2.0.1")
LAST = interface("eth2", "203.0.113.7")
LINK_LOCAL = interface("eth3", "169.254.3.4")
BRIDGE = interface("docker0", "172.17.0.1", internal=True)
BRIDGE_DOWN = interface("docker0", "172.17.0.1", running=False, internal=True)
TUNNEL = interface("tun0", "10.8.0.6", internal=True)
NO_CABLE = interface("eth4", "10.4.0.1", running=False)
HOSTS_LIKE = interface("lo", "127.0.1.1", loopback=True)
SERVICE = interface("lo", "10.7.7.7", loopback=True)
GLOBAL6 = interface("eth0", "2001:db8::5")
LOCAL6 = interface("eth1", "fd00::5")
LINK_LOCAL6 = interface("eth0", "fe80::5")
LINK_LOCAL6_OF_LOOPBACK = interface("lo0", "fe80::1", loopback=True)


@pytest.mark.parametrize(
    ("listed", "routes", "best"),
    [
        ([], [], None),
        ([LOOPBACK, LOOPBACK6, HOSTS_LIKE], [], None),
        ([LOOPBACK, ETH0], [], ETH0),
        ([LOOPBACK, ETH0, ETH1, LAST], [], ETH0),
        ([LOOPBACK, ETH0, ETH1, LAST], [ETH1], ETH1),
        ([LINK_LOCAL, ETH0], [], ETH0),
        ([LINK_LOCAL, ETH0], [LINK_LOCAL], ETH0),
        ([LOOPBACK, LINK_LOCAL], [], LINK_LOCAL),
        ([BRIDGE_DOWN, ETH0], [], ETH0),
        ([BRIDGE_DOWN, NO_CABLE, LOOPBACK], [], None),
        ([BRIDGE, ETH0], [], ETH0),
        ([BRIDGE, ETH0], [BRIDGE], BRIDGE),
        ([BRIDGE, TUNNEL], [], BRIDGE),
        ([LINK_LOCAL, BRIDGE], [], BRIDGE),
        ([LOOPBACK, TUNNEL], [], TUNNEL),
        ([SERVICE, LOOPBACK], [], None),
        ([SERVICE, ETH0], [SERVICE], SERVICE),
        # Flags say what they like: the system uses it.
        ([NO_CABLE, ETH0], [NO_CABLE], NO_CABLE),
        # A route that leads nowhere else.
        ([LOOPBACK, ETH0], [LOOPBACK], ETH0),
        ([ETH0], [interface("", "0.0.0.0")], ETH0),
        ([GLOBAL6, LINK_LOCAL6, LOOPBACK], [], None),
    ],
)
@pytest.mark.parametrize("ipv6", [False, True])
def test_the_best_ipv4_address(
    listed: list[Interface], routes: list[Interface], best: Interface | None, ipv6: bool
) -> None:
    if ipv6 and any(each.address.version == 6 and not each.loopback for each in listed):
        listed = [*listed, ETH0]
        best = ETH0
    found = best_interface(listed, [each.address for each in routes], ipv6)
    assert found == best


@pytest.mark.parametrize(
    ("listed", "routes", "best"),
    [
        ([LOOPBACK6, LINK_LOCAL6, GLOBAL6, LOCAL6], [], GLOBAL6),
        ([LOOPBACK6, LINK_LOCAL6, GLOBAL6, LOCAL6], [LOCAL6], LOCAL6),
        ([LOOPBACK6, LINK_LOCAL6, LOCAL6], [], LOCAL6),
        ([LOOPBACK6, LINK_LOCAL6_OF_LOOPBACK, LINK_LOCAL6], [], LINK_LOCAL6),
        ([LOOPBACK6, LINK_LOCAL6_OF_LOOPBACK], [], None),
        ([GLOBAL6, LINK_LOCAL], [GLOBAL6], LINK_LOCAL),
        ([GLOBAL6, BRIDGE_DOWN], [], GLOBAL6),
        ([interface("eth0", "ff02::1"), LINK_LOCAL6], [], LINK_LOCAL6),
    ],
)
def test_the_best_address_of_a_server_that_listens_on_ipv6_too(
    listed: list[Interface], routes: list[Interface], best: Interface | None
) -> None:
    assert best_interface(listed, [each.address for each in routes], True) == best


def test_a_route_counts_without_a_list() -> None:
    found = best_interface([], [ETH1.address], False)
    assert found is not None
    assert found.address == ETH1.address


class TestWhatIsSaid:
    """The text, and what is logged, on made-up networks."""

    @pytest.fixture
    def network(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
        caplog.set_level(logging.DEBUG)

        def make(*listed: Interface, routes: tuple[Interface, ...] = ()) -> None:
            rows = [(each[0], each.address.packed, *each[2:]) for each in listed]
            monkeypatch.setattr(_core, "interface_addresses", lambda: rows)
            monkeypatch.setattr(addresses, "_default_routes", lambda _: [r.address for r in routes])

        return make

    def levels(self, caplog: pytest.LogCaptureFixture) -> list[int]:
        assert all("me" in record.getMessage() for record in caplog.records)
        return [record.levelno for record in caplog.records]

    def test_the_default_route(self, network: Any, caplog: pytest.LogCaptureFixture) -> None:
        network(ETH0, ETH1, routes=(ETH1,))
        assert get_ip("me") == "10.2.0.1"
        assert self.levels(caplog) == [logging.DEBUG]

    def test_another_interface(self, network: Any, caplog: pytest.LogCaptureFixture) -> None:
        network(LOOPBACK, ETH0)
        assert get_ip("me") == "10.1.0.1"
        assert self.levels(caplog) == [logging.INFO]
        assert "eth0" in caplog.text

    def test_none(self, network: Any, caplog: pytest.LogCaptureFixture) -> None:
        network(LOOPBACK, GLOBAL6)
        assert get_ip("me") == "127.0.0.1"
        assert self.levels(caplog) == [logging.WARNING]

    def test_ipv6(self, network: Any) -> None:
        network(LOOPBACK, LINK_LOCAL6, GLOBAL6)
        assert addresses.host_for_clients("me", ipv6=True) == "[2001:db8::5]"
        network(LOOPBACK, LINK_LOCAL6)
        assert addresses.host_for_clients("me", ipv6=True) == "[fe80::5%eth0]"
        network(LOOPBACK, LINK_LOCAL6, ETH0)
        assert addresses.host_for_clients("me", ipv6=True) == "10.1.0.1"

    def test_no_list(
        self, network: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail() -> Any:
            raise OSError("no such thing")

        network(routes=(ETH0,))
        monkeypatch.setattr(_core, "interface_addresses", fail)
        assert get_ip("me") == "10.1.0.1"
        assert self.levels(caplog) == [logging.WARNING, logging.DEBUG]
        monkeypatch.setattr(addresses, "_default_routes", lambda _: [])
        assert get_ip("me") == "127.0.0.1"

    @pytest.mark.parametrize("fails_at", ["__init__", "connect", "getsockname"])
    def test_no_way_to_ask_for_routes(
        self, network: Any, monkeypatch: pytest.MonkeyPatch, fails_at: str
    ) -> None:
        """Every socket is closed (an open one would be a warning, and this test fail)."""

        class Failing(socket.socket):
            pass

        def fail(*_: object, **__: object) -> Any:
            raise OSError("no")

        routes = addresses._default_routes
        network(LOOPBACK, ETH0)
        monkeypatch.setattr(addresses, "_default_routes", routes)
        monkeypatch.setattr(Failing, fails_at, fail)
        monkeypatch.setattr(socket, "socket", Failing)
        for ipv6 in (False, True):
            assert addresses.host_for_clients("me", ipv6) == "10.1.0.1"


def test_no_name_server_is_asked(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise AssertionError("it was asked")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostname", "getfqdn"):
        monkeypatch.setattr(socket, name, fail)
    get_ip("me")
    assert make_server(address="tcp://*:*", start=False).address_for_client


def test_the_list_is_what_others_see() -> None:
    """psutil asks the system by itself."""
    expected = {
        ip_address(each.address.partition("%")[0])
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family in (socket.AF_INET, socket.AF_INET6)
    }
    listed = [
        Interface(row[0], ip_address(row[1]), *row[2:]) for row in _core.interface_addresses()
    ]
    assert {each.address for each in listed} <= expected
    assert {each.address for each in listed if each.running} >= {
        ip_address(each.address)
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and psutil.net_if_stats()[name].isup
    }
    assert all(each.loopback for each in listed if each.address.is_loopback)
    assert not any(each.internal for each in listed if each.loopback)


# ---- networks that the test makes

SERVE = """
import socket, sys

def fail(*_):
    raise AssertionError("a name server was asked")

socket.gethostbyname = socket.getfqdn = socket.gethostname = fail
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

server = ServerLHC("device", sys.argv[1], 1, "MOTOR", data={"x": 1})
print(server.address_for_client.rpartition(":")[0])
assert server.address_for_client == f"tcp://{server.server_ip}:{server.server_port}"
if sys.argv[2] == "reached":
    with server, ClientLHC(server.address_for_client, timeout_s=20) as client:
        assert client.get() == {"x": 1}
server.stop()
"""

# The kernel notices a moment later that a cable is there or not.
UP = """
without_cable() { ip link show $1 | grep -q NO-CARRIER; }
for each in v w; do
    ip link add ${each}0 type veth peer name ${each}1
    ip link set ${each}0 addrgenmode none
    ip link set ${each}1 addrgenmode none
    ip link set ${each}0 up
    ip link set ${each}1 up
    while without_cable ${each}0; do sleep 0.01; done
done
"""
BRIDGED = """
ip link add docker0 type bridge
ip addr add 172.17.0.1/16 dev docker0
ip link set docker0 up
"""
V4, W4 = "ip addr add 10.1.2.3/24 dev v0\n", "ip addr add 10.2.2.3/24 dev w0\n"
V6 = "ip addr add fd00::5/64 dev v0 nodad\n"
V6_LOCAL = "ip addr add fe80::7/64 dev v0 nodad\n"

NETWORKS = {
    "loopback": ("", "tcp://*:*", "127.0.0.1"),
    "loopback, IPv6": ("", "tcp://[::]:*", "127.0.0.1"),
    "one": (UP + V4, "tcp://*:*", "10.1.2.3"),
    "one, for IPv6": (UP + V4 + V6, "tcp://[::]:*", "10.1.2.3"),
    "two": (UP + W4 + V4, "tcp://0.0.0.0:*", "10.1.2.3|10.2.2.3"),
    "default route": (UP + V4 + W4 + "ip route add default via 10.2.2.1", "tcp://*:*", "10.2.2.3"),
    "another route": (UP + V4 + "ip route add 10.9.0.0/16 via 10.1.2.1", "tcp://*:*", "10.1.2.3"),
    "bridge": (BRIDGED + UP + V4, "tcp://*:*", "10.1.2.3"),
    "bridge only": (BRIDGED, "tcp://*:*", "172.17.0.1"),
    "bridge without a cable": (
        BRIDGED + UP + "ip link set w1 down\nip link set w0 master docker0\n"
        "until without_cable docker0; do sleep 0.01; done",
        "tcp://*:*",
        "127.0.0.1",
    ),
    "tunnel": (
        "ip tuntap add t0 mode tun\nip addr add 10.8.0.6/24 dev t0\nip link set t0 up\n" + UP + V4,
        "tcp://*:*",
        "10.1.2.3",
    ),
    "no cable": (
        UP + V4 + W4 + "ip link set v1 down\nuntil without_cable v0; do sleep 0.01; done",
        "tcp://*:*",
        "10.2.2.3",
    ),
    "down": (UP + V4 + W4 + "ip link set v0 down", "tcp://*:*", "10.2.2.3"),
    "all down": (UP + V4 + "ip link set v0 down", "tcp://*:*", "127.0.0.1"),
    "link-local": (UP + "ip addr add 169.254.7.7/16 dev v0", "tcp://*:*", "169.254.7.7"),
    "link-local and another": (
        UP + "ip addr add 169.254.7.7/16 dev v0\n" + W4,
        "tcp://*:*",
        "10.2.2.3",
    ),
    "point to point": (UP + "ip addr add 10.9.9.1 peer 10.9.9.2 dev v0", "tcp://*:*", "10.9.9.1"),
    "service address": (
        UP + V4 + "ip addr add 10.7.7.7/32 dev lo\nip route add default via 10.1.2.1 src 10.7.7.7",
        "tcp://*:*",
        "10.7.7.7",
    ),
    "IPv6 only": (UP + V6 + V6_LOCAL, "tcp://[::]:*", "[fd00::5]"),
    "IPv6 only, default route": (
        UP + V6 + "ip addr add fd01::5/64 dev w0 nodad\nip route add default via fd01::1",
        "tcp://[::]:*",
        "[fd01::5]",
    ),
    "IPv6 only, link-local": (UP + V6_LOCAL, "tcp://[::]:*", "[fe80::7%v0]"),
    "IPv6 only, server without": (UP + V6, "tcp://*:*", "127.0.0.1"),
}


@functools.cache
def can_make_networks() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return in_network("ip link set lo up\n" + UP, "true").returncode == 0


def in_network(setup: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where there is no network but what ``setup`` makes."""
    script = f'set -e\n{setup}\nexec "$@"'
    return subprocess.run(
        ["unshare", "--map-root-user", "--net", "sh", "-c", script, "sh", *command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )


def served(setup: str, address: str, what: str) -> str:
    """What a server on such a machine says where its clients connect to."""
    if not can_make_networks():
        pytest.skip("no networks can be made here: needs Linux, unshare, ip, and permission")
    done = in_network(setup, sys.executable, "-W", "error", "-c", SERVE, address, what)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().removeprefix("tcp://")


@pytest.mark.parametrize("network", NETWORKS)
def test_a_server_on_a_machine_with(network: str) -> None:
    setup, address, expected = NETWORKS[network]
    assert served("ip link set lo up\n" + setup, address, "reached") in expected.split("|")


def test_a_server_on_a_machine_without_any_network() -> None:
    assert served("", "tcp://*:*", "not reached") == "127.0.0.1"
