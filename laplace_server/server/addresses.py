"""The address under which other machines reach this one.

The system's list of network interfaces is asked, and its routes; never a name server, for which
the constructor of a server would have to wait.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server import _core
from laplace_server.wire.logs import Log

log = Log(LOGGER_NAME)

# Any address beyond the local network will do: the system only looks up the route to it.
_OUTSIDE = {socket.AF_INET: "8.8.8.8", socket.AF_INET6: "2001:4860:4860::8888"}

_FALLBACK = "127.0.0.1"

Address = IPv4Address | IPv6Address


class Interface(NamedTuple):
    """One address of a network interface; ``name`` is the interface's, on Windows its number."""

    name: str
    address: Address
    running: bool
    loopback: bool
    internal: bool


def host_for_clients(name: str, ipv6: bool) -> str:
    """Return the host for the address of a server that listens everywhere.

    The interface of the default route is preferred, then any other that is up and running, then
    127.0.0.1. Nothing is sent, nobody is waited for, and nothing is raised.

    With ``ipv6``, where it listens on IPv6, too, and there is no IPv4 address, it is an IPv6
    address in brackets, a link-local one with its scope. ``name`` is for the log only.
    """
    routes = _default_routes(ipv6)
    try:
        interfaces = [
            Interface(each, ip_address(address), *what)
            for each, address, *what in _core.interface_addresses()
        ]
    except OSError as problem:
        log.warning("[Server %s] No list of network interfaces: %s", name, problem)
        interfaces = []
    best = best_interface(interfaces, routes, ipv6)
    if best is None:
        log.warning(
            "[Server %s] No network interface has an address: other machines cannot connect.", name
        )
        return _FALLBACK
    if best.address in routes:
        log.debug("[Server %s] Address of the default route: %s", name, best.address)
    else:
        log.info("[Server %s] No default route; address of %s: %s", name, best.name, best.address)
    if best.address.version == 4:
        return str(best.address)
    return f"[{best.address}%{best.name}]" if best.address.is_link_local else f"[{best.address}]"


def best_interface(
    interfaces: Iterable[Interface], routes: Sequence[Address], ipv6: bool
) -> Interface | None:
    """Return which of the addresses clients should use; None if no other machine reaches any.

    IPv4 comes before IPv6, link-local after the rest of its kind. Then the default route's address
    (``routes``, one of a kind) is best, and bridges and tunnels of this machine's own making are
    worst; else the order is the system's.
    """
    candidates = list(interfaces)
    known = {each.address for each in candidates}
    candidates += [Interface("", each, True, False, False) for each in routes if each not in known]

    def is_usable(each: Interface) -> bool:
        address = each.address
        if address.version == 6 and not ipv6:
            return False
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            return False
        return address in routes or (each.running and not each.loopback)

    def rank(each: Interface) -> tuple[bool, ...]:
        address = each.address
        routed = address in routes
        return address.version == 6, address.is_link_local, not routed, each.internal

    return min(filter(is_usable, candidates), key=rank, default=None)


def _default_routes(ipv6: bool) -> list[Address]:
    """This machine's end of the way to other networks, per kind of address."""
    families = [socket.AF_INET, socket.AF_INET6] if ipv6 else [socket.AF_INET]
    routes = []
    for family in families:
        try:
            # Connecting a UDP socket sends no packet; it only chooses the local address.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((_OUTSIDE[family], 80))
                routes.append(ip_address(probe.getsockname()[0].partition("%")[0]))
        except OSError:
            continue
    return routes
