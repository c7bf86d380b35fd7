"""Where a server is: host names, looked up beside whoever asks.

The system's look-up takes as long as it likes and cannot be interrupted. So it runs in a daemon
thread, one for each name at a time, and who asks may stop waiting.

Nothing here holds a lock, and threads are started without ``threading``, whose locks are not
reentrant: who asks may be a signal handler in the middle of any line here.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

NOBODY = "nobody listens there"
NO_CONNECTION = "no connection could be made in that time"
ABSENT = (NOBODY, NO_CONNECTION)
"""What is the same as no word from a server: nobody has said anything."""
SILENT = "somebody took the connection and has not said anything yet (is it a laplace-server?)"

FIRST_PAUSE_S = 0.1  # before a name is looked up again; doubles up to
LONGEST_PAUSE_S = 1.0

# Until the next address is tried where one says nothing (as RFC 8305 advises). It doubles with each
# round over all of them: the network may be slow.
_FIRST_PATIENCE_S = 0.25
_LONGEST_PATIENCE_S = 2.0

_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))

# By RFC 6761 nobody need be asked. Servers listen to IPv4 unless told otherwise.
_LOCALHOST = ("127.0.0.1", "[::1]")


class Found(NamedTuple):
    """What became of a search."""

    hosts: tuple[str, ...]
    """Numeric addresses as they stand in ``tcp://host:port``, IPv4 first: 10.0.0.1, [fe80::1]."""
    problem: str = ""
    """Why there are none."""


class Place:
    """Where one client finds its server: ``endpoint``, an address without names, if it is known.

    A numeric address is known from the beginning and for ever. Of those that a name has, each is
    tried, and the one that worked is remembered. Threads may share it.
    """

    def __init__(self, address: str) -> None:
        self._host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self._others: deque[str] = deque()
        self._heard = ""  # at one of the addresses found last
        self.is_name = not _is_numeric(self._host)
        self.endpoint: str | None = None if self.is_name else address
        self.patience_s = _FIRST_PATIENCE_S if self.is_name else math.inf
        """How long to wait for a connection before ``failed``."""

    def search(self, tell: Callable[[Found], object]) -> None:
        """Begin to look it up; ``tell`` is called once, now or later, in any thread."""
        find(self._host, tell)

    @property
    def pending(self) -> str:
        """What to say while the search goes on."""
        return f"the host name {self._host!r} is still being looked up"

    def take(self, found: Found) -> str | None:
        """Return where to try first of what was found, if anything was."""
        self._heard = ""
        self._others = deque(found.hosts)
        return self._next()

    def worked(self) -> None:
        """Somebody took a connection."""
        if self.is_name:
            self._others.clear()  # old when they may be needed
            self._heard = ""
            self.patience_s = _FIRST_PATIENCE_S

    def failed(self, endpoint: str) -> bool:
        """Nobody took a connection there. False: there is no other, so look it up again later."""
        if not self.is_name:
            return False
        if endpoint != self.endpoint:  # somebody else has noticed
            return self.endpoint is not None
        if self._next() is not None:
            return True
        self.patience_s = min(_LONGEST_PATIENCE_S, 2 * self.patience_s)
        return False

    def telling(self, trouble: str) -> str:
        """Return what to say of a trouble at an address: where nobody was there, what somebody said
        at another one that the name has."""
        if not self.is_name:
            return trouble
        if trouble not in ABSENT:
            self._heard = trouble
        return self._heard or trouble

    def _next(self) -> str | None:
        try:
            self.endpoint = f"tcp://{self._others.popleft()}:{self._port}"
        except IndexError:
            self.endpoint = None
        return self.endpoint


def find(host: str, tell: Callable[[Found], object]) -> None:
    """Look a host name up and call ``tell``, which must not raise, once, in any thread."""
    if host.lower().rstrip(".") == "localhost":
        tell(Found(_LOCALHOST))
        return
    mine = _Search()
    try:
        search = _under_way.setdefault(host, mine)
        if search is mine:
            _thread.start_new_thread(_run, (mine, host))
    except RuntimeError as error:  # no threads left, or the interpreter is ending
        _finish(mine, host, Found((), f"the host name {host!r} cannot be looked up ({error})"))
    except BaseException:  # a signal handler raised: nobody must wait for a thread that is not
        _finish(mine, host, Found((), f"looking up the host name {host!r} was interrupted"))
        raise
    search.join(tell)


def _is_numeric(host: str) -> bool:
    if host.startswith("["):
        return True
    try:
        socket.inet_pton(socket.AF_INET, host)
    except OSError:
        return False
    return True


# ---- one search for all who ask


class _Search:
    """A search under way, and who waits for it."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[Found], object]] = deque()
        self._found: list[Found] = []

    def join(self, tell: Callable[[Found], object]) -> None:
        self._waiting.append(tell)
        # Afterwards: so either finish() sees this one, or this one sees what was found.
        self._tell_all()

    def finish(self, found: Found) -> None:
        self._found.append(found)
        self._tell_all()

    def _tell_all(self) -> None:
        while self._found and self._waiting:
            try:
                tell = self._waiting.popleft()
            except IndexError:
                return
            tell(self._found[0])


_under_way: dict[str, _Search] = {}

if hasattr(os, "register_at_fork"):
    # The threads are the parent's.
    os.register_at_fork(after_in_child=_under_way.clear)


def _run(search: _Search, host: str) -> None:
    """Run a search, in a thread."""
    try:
        found = _look_up(host)
    except BaseException as error:  # whatever it is, who waits must be told
        found = Found((), f"the host name {host!r} cannot be looked up ({error!r})")
    _finish(search, host, found)


def _finish(search: _Search, host: str, found: Found) -> None:
    # First: who comes from now on wants to know how it is now.
    if _under_way.get(host) is search:
        _under_way.pop(host, None)
    search.finish(found)


# ---- the look-up itself


def _look_up(host: str) -> Found:
    try:
        return Found(_hosts_of(host))
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
        # What the hosts file and local services know has no dot at its end.
        if host.endswith("."):
            with contextlib.suppress(OSError, UnicodeError):
                return Found(_hosts_of(host[:-1]))
        unknown = isinstance(error, UnicodeError) or error.errno in _UNKNOWN
        state = "is not known" if unknown else "cannot be looked up"
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        return Found((), f"the host name {host!r} {state} ({why})")


def _hosts_of(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    v4 = [str(sockaddr[0]) for family, *_, sockaddr in found if family == socket.AF_INET]
    v6 = [f"[{sockaddr[0]}]" for family, *_, sockaddr in found if family == socket.AF_INET6]
    if not v4 and not v6:
        raise OSError("it has no address of a kind that is known here")
    return tuple(dict.fromkeys(v4 + v6))
