"""What a forked child does with the sockets of its parent's servers: it lets them go.

A child inherits the listening socket and all connections. While it held them, the port would stay
taken after the parent's ``stop()``, and clients would wait for answers instead of seeing the end.

The sockets are found by their address, which is sure for either transport: what the core notes of
them may be half written at the moment of a fork. The rest that a server has open, such as epoll's
descriptor, holds no socket and ends with the child. Nothing may be changed by it there: it is the
parent's too.
"""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from laplace_server.server._core import Core

# Where the system does not list a process's descriptors, numbers below this are tried.
_MOST_DESCRIPTORS = 65536

_cores: weakref.WeakSet[Core] = weakref.WeakSet()
# Between a bind and the note of it no fork may come. (Reentrant: a signal handler may fork.)
_binding = threading.RLock()


def bound(make: Callable[[], Core]) -> Core:
    """Make a core, of whose sockets children forked from now on know."""
    with _binding:
        core = make()
        try:
            _cores.add(core)
        except BaseException:  # an interrupt; the port must not stay taken
            core.request_stop()
            raise
    return core


def _let_go() -> None:
    """In a child: put the null device in the place of each socket of the parent's servers.

    Never shutdown(), which would end the parent's connections; and the numbers stay taken, so that
    what the core and libzmq left behind here means no stranger's descriptor.
    """
    _binding.release()
    endpoints = [core.held_endpoint() for core in _cores]
    _cores.clear()  # what this process has at their ports from now on is its own
    held = _sockets_of([endpoint for endpoint in endpoints if endpoint])
    if not held:
        return
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # no number is left, or the process sees no devices
        for descriptor in held:
            os.close(descriptor)
        return
    for descriptor in held:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def _sockets_of(endpoints: Iterable[str]) -> list[int]:
    """The descriptors of the sockets that listen at these endpoints or were accepted there."""
    places = [_place(endpoint) for endpoint in endpoints]
    if not places:
        return []
    # A time-out would make each socket that is looked at non-blocking, for the parent as well.
    chosen = socket.getdefaulttimeout()
    socket.setdefaulttimeout(None)
    try:
        return [
            descriptor
            for descriptor in _descriptors()
            if (name := _local_name(descriptor)) is not None
            and any(_is_at(name, place) for place in places)
        ]
    finally:
        socket.setdefaulttimeout(chosen)


def _place(endpoint: str) -> tuple[str, int]:
    """Host and port of libzmq's ``tcp://127.0.0.1:5555`` or ``tcp://[fe80::1%eth0]:5555``."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return host.strip("[]").partition("%")[0], int(port)


def _is_at(name: tuple[str, int], place: tuple[str, int]) -> bool:
    address, expected = ip_address(name[0]), ip_address(place[0])
    if name[1] != place[1] or address.version != expected.version:
        return False
    return expected.is_unspecified or address == expected


def _descriptors() -> Iterable[int]:
    try:
        return [int(number) for number in os.listdir("/dev/fd")]
    except OSError:
        return range(min(os.sysconf("SC_OPEN_MAX"), _MOST_DESCRIPTORS))


def _local_name(descriptor: int) -> tuple[str, int] | None:
    """Address and port of this end of a TCP socket; None for what is none."""
    try:
        # Not socket.socket, in the place of which programs put classes of their own.
        inherited = socket.SocketType(-1, -1, -1, descriptor)
    except OSError:
        return None
    try:
        is_ip = inherited.family in (socket.AF_INET, socket.AF_INET6)
        if not is_ip or inherited.type != socket.SOCK_STREAM:
            return None
        host, port = inherited.getsockname()[:2]
        return host.partition("%")[0], port
    except OSError:
        return None
    finally:
        inherited.detach()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_binding.acquire, after_in_parent=_binding.release, after_in_child=_let_go
    )
