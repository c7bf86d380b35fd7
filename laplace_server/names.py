"""Where a server is: host names, looked up beside whoever asks.

The system's look-up takes as long as it likes and cannot be interrupted. So it runs in a daemon
thread, one for each name at a time, and who asks may stop waiting. Of several addresses the first
one that takes a connection is meant, IPv4 first: servers listen there unless told otherwise.

Nothing here holds a lock, and threads are started without ``threading``, whose locks are not
reentrant: who asks may be a signal handler in the middle of any line here.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

AGAIN_S = 1.0  # between look-ups while a name is not known, or nobody is there
FIRST_RETRY_S = 0.1  # doubles up to AGAIN_S

NOBODY = "nobody listens there"
NO_CONNECTION = "no connection could be made in that time"

_STAGGER_S = 0.25  # before the next address is tried as well (RFC 8305)
_PROBE_S = 5.0  # for all of them

_IN_PROGRESS = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", 10035))
_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


class Found(NamedTuple):
    """What became of a search."""

    host: str | None
    """A numeric address as it stands in ``tcp://host:port``: ``10.0.0.1``, ``[::1]``."""
    problem: str = ""
    """Why there is none."""


class _Address(NamedTuple):
    family: int
    sockaddr: tuple[Any, ...]

    def text(self) -> str:
        host = str(self.sockaddr[0])
        return f"[{host}]" if self.family == socket.AF_INET6 else host


class _Addresses(NamedTuple):
    found: tuple[_Address, ...]
    problem: str = ""


class Place:
    """Where one client finds its server: ``endpoint``, once that is known.

    A numeric address is known from the beginning and for ever.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self.is_name = not _is_numeric(self._host)
        self.endpoint: str | None = None if self.is_name else address

    def search(self, tell: Callable[[Found], object]) -> None:
        """Begin to look it up; ``tell`` is called once, now or later, in any thread."""
        find(self._host, self._port, tell)

    def take(self, found: Found) -> str | None:
        """Remember what was found, if anything was, and return it."""
        if found.host is None:
            return None
        self.endpoint = endpoint = f"tcp://{found.host}:{self._port}"
        return endpoint

    def forget(self) -> None:
        """Nobody was there: look it up again next time."""
        if self.is_name:
            self.endpoint = None

    @property
    def pending(self) -> str:
        """What to say while the search goes on."""
        return f"the host name {self._host!r} is still being looked up"


def find(host: str, port: int, tell: Callable[[Found], object]) -> None:
    """Look a host name up and call ``tell``, which must not raise, once, in any thread."""

    def choose(addresses: _Addresses) -> None:
        if len(addresses.found) > 1:
            _probes.ask(tell, addresses.found, port)
        elif addresses.found:
            tell(Found(addresses.found[0].text()))
        else:
            tell(Found(None, addresses.problem))

    _lookups.ask(choose, host)


def _is_numeric(host: str) -> bool:
    if host.startswith("["):
        return True
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


# ---- what runs in threads


def _look_up(host: str) -> _Addresses:
    try:
        return _Addresses(_addresses_of(host))
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        # What the hosts file and local services know has no dot at its end.
        if host.endswith("."):
            with contextlib.suppress(OSError, UnicodeError):
                return _Addresses(_addresses_of(host[:-1]))
        known = not isinstance(error, UnicodeError) and error.errno not in _UNKNOWN
        state = "cannot be looked up" if known else "is not known"
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        return _Addresses((), f"the host name {host!r} {state} ({why})")


def _addresses_of(host: str) -> tuple[_Address, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [
        _Address(family, sockaddr)
        for family, _, _, _, sockaddr in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
    addresses.sort(key=lambda address: address.family != socket.AF_INET)
    return tuple(dict.fromkeys(addresses))


def _probe(addresses: tuple[_Address, ...], port: int) -> Found:
    """Return the first that takes a connection."""
    waiting = deque(addresses)
    deadline = time.monotonic() + _PROBE_S
    next_at = 0.0
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        while True:
            now = time.monotonic()
            if waiting and (now >= next_at or not selector.get_map()):
                address = waiting.popleft()
                next_at = now + _STAGGER_S
                connecting = _connecting(address, port)
                if connecting is not None:
                    stack.enter_context(connecting)
                    selector.register(connecting, selectors.EVENT_WRITE, address)
                continue
            if not selector.get_map() or now >= deadline:
                return Found(None, NOBODY)
            until = min(next_at, deadline) if waiting else deadline
            for key, _ in selector.select(max(0.0, until - now)):
                probe = key.fileobj
                assert isinstance(probe, socket.socket)
                if not probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return Found(key.data.text())
                selector.unregister(probe)
                next_at = 0.0  # refused: the next at once


def _connecting(address: _Address, port: int) -> socket.socket | None:
    """Return a socket that connects, or None where that cannot be."""
    try:
        probe = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError:  # no such family here
        return None
    try:
        probe.setblocking(False)
        sockaddr = (address.sockaddr[0], port, *address.sockaddr[2:])
        if probe.connect_ex(sockaddr) in (0, *_IN_PROGRESS):
            return probe
    except OSError:
        pass
    probe.close()
    return None


# ---- once for all who ask


class _Run:
    """Work under way, and who waits for it."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[Any], object]] = deque()
        self._results: list[Any] = []

    def join(self, tell: Callable[[Any], object]) -> None:
        self._waiting.append(tell)
        # Afterwards: so either finish() sees this one, or this one sees the result.
        self._tell_all()

    def finish(self, result: Any) -> None:
        self._results.append(result)
        self._tell_all()

    def _tell_all(self) -> None:
        while self._results and self._waiting:
            try:
                tell = self._waiting.popleft()
            except IndexError:
                return
            tell(self._results[0])


class _Together:
    """Does a kind of work in daemon threads, once for all who ask for the same meanwhile."""

    def __init__(self, work: Callable[..., Any], failed: Callable[[str], Any]) -> None:
        self._work = work
        self._failed = failed
        self._under_way: dict[tuple[Any, ...], _Run] = {}
        if hasattr(os, "register_at_fork"):
            # The threads are the parent's.
            os.register_at_fork(after_in_child=self._under_way.clear)

    def ask(self, tell: Callable[[Any], object], *about: Any) -> None:
        mine = _Run()
        try:
            run = self._under_way.setdefault(about, mine)
            if run is mine:
                _thread.start_new_thread(self._do, (mine, about))
        except RuntimeError as error:  # no threads left, or the interpreter is ending
            self._finish(mine, about, self._failed(str(error)))
        except BaseException:  # a signal handler raised: nobody must wait for a thread that is not
            self._finish(mine, about, self._failed("interrupted"))
            raise
        run.join(tell)

    def _do(self, run: _Run, about: tuple[Any, ...]) -> None:
        try:
            result = self._work(*about)
        except Exception as error:
            result = self._failed(f"{type(error).__name__}: {error}")
        self._finish(run, about, result)

    def _finish(self, run: _Run, about: tuple[Any, ...], result: Any) -> None:
        # First: who comes from now on wants to know how it is now.
        if self._under_way.get(about) is run:
            self._under_way.pop(about, None)
        run.finish(result)


_lookups = _Together(_look_up, lambda problem: _Addresses((), problem))
_probes = _Together(_probe, lambda problem: Found(None, problem))
