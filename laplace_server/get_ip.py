"""The address under which other machines reach this one."""

from __future__ import annotations

from laplace_server.server.addresses import host_for_clients

__all__ = ["get_ip"]


def get_ip(name: str) -> str:
    """Return this machine's IPv4 address as clients would use it; ``name`` is for the log only.

    The interface of the default route is preferred, then any other that is up and running, then
    127.0.0.1. Nothing is sent, nobody is waited for, and nothing is raised.
    """
    return host_for_clients(name, ipv6=False)
