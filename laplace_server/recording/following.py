"""All that a recorder follows: its servers, their streams, and those that come later."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from laplace_server.client.starts import Start
from laplace_server.client.stream_source import StreamSource
from laplace_server.recording.follower import Follower, Informant
from laplace_server.recording.intake import Intake
from laplace_server.recording.part import Origin
from laplace_server.recording.server_watch import ServerWatch
from laplace_server.wire.stacks import large_stacks

_END_S = 5.0


class Following:
    """Puts what comes into an intake, from ``start()`` to ``end()``.

    Args:
        sources: pairs of client and stream; None for all streams of its server.
        start: where streams begin that have no position.
    """

    def __init__(
        self, sources: Sequence[tuple[StreamSource, str | None]], start: Start, intake: Intake
    ) -> None:
        self._sources = sources
        self._start_at = start
        self._intake = intake
        self._lock = threading.Lock()  # of the followers
        self._followers: dict[Origin, Follower] = {}
        self._positions: Mapping[Origin, tuple[int, int]] = {}
        self._clients: dict[str, StreamSource] = {}
        self._watches: list[ServerWatch] = []

    @property
    def followers(self) -> dict[Origin, Follower]:
        """One for each stream."""
        with self._lock:
            return dict(self._followers)

    @property
    def troubles(self) -> dict[str, str]:
        """Why a server does not tell which streams it has, by its address."""
        return {each.address: each.trouble for each in self._watches if each.trouble}

    def start(self, positions: Mapping[Origin, tuple[int, int]]) -> None:
        """Begin; streams with a position, which is an epoch and a number, begin behind it."""
        self._positions = positions
        informants: dict[str, Informant] = {}
        for client, stream in self._sources:
            address = client.address
            if address not in informants:
                own = self._clients[address] = client._again()
                informants[address] = Informant(own)
            if stream is not None:
                self._follow(informants[address], stream, self._start_at)
                continue
            watch = ServerWatch(informants[address], self._start_at, self._follow)
            self._watches.append(watch)
            watch.start()

    def wait_followed(self, timeout: float) -> bool:
        """Wait until each stream is followed, or known not to be; say whether that is so."""
        deadline = time.monotonic() + timeout
        looked = all(each.looked.wait(_left(deadline)) for each in self._watches)
        return looked and all(
            each.followed.wait(_left(deadline)) for each in self.followers.values()
        )

    def end(self) -> None:
        """Take what was published by now, and end."""
        for watch in self._watches:
            watch.end()
        for watch in self._watches:
            watch.join(_END_S)
        followers = self.followers.values()
        for follower in followers:
            follower.end()
        for follower in followers:
            follower.join(_END_S)
        for client in self._clients.values():
            client.close()

    def _follow(self, informant: Informant, stream: str, start: Start) -> None:
        origin = Origin(informant.client.address, stream)
        with self._lock:
            if origin in self._followers:
                return
            start = self._positions.get(origin, start)
            follower = Follower(informant, stream, start, self._intake)
            self._followers[origin] = follower
        with large_stacks():
            follower.start()


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
