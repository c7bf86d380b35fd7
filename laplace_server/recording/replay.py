"""A recording served again: its servers, with the streams, times and descriptions they had."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, TypeAlias

from laplace_server.client.updates import Update
from laplace_server.protocol import AVAILABLE_DEVICES, DEVICE_SHOT
from laplace_server.recording.ledger import losses_before
from laplace_server.recording.reading import Recording, Server
from laplace_server.recording.stream_reader import Stream
from laplace_server.server_lhc import ServerLHC

ANY_PORT = "tcp://127.0.0.1:*"
_DATA = "data"
_LOOK_S = 0.05


class ReplayedServer(ServerLHC):
    """One whose data is what was recorded last of its stream "data".

    ``set_data`` would append to that stream with the time of now.
    """

    shown: Mapping[str, Any] = {}

    @property
    def data(self) -> dict[Any, Any]:
        """What GET returns."""
        return dict(self.shown)


class Replay:
    """Serves a recording; a context manager starts and stops its servers.

        with laplace_server.recording.open("run.h5") as recording, Replay(recording) as replay:
            print(replay.servers["camera"].address)
            replay.wait_for_subscribers(60.0)
            replay.play()

    Numbers of updates count from 1 again, in an epoch of their own, and leave out those of updates
    that the recording has lost: whoever follows learns of the same losses. All else is as it was.

    Args:
        recording: an open one.
        addresses: where each server listens, by name; others take a free port of this machine.
        history_bytes: of each stream.
        block: whether publishing waits for subscribers, so that they lose nothing however quick it
            is; as streams of policy "block" do.

    Raises:
        KeyError: there is no server of such a name.
        TypeError, ValueError, zmq.ZMQError: as ``ServerLHC``.
    """

    def __init__(
        self,
        recording: Recording,
        addresses: Mapping[str, str] | None = None,
        *,
        history_bytes: int = 256 << 20,
        block: bool = False,
    ) -> None:
        self._recording = recording
        self._ending = threading.Event()
        self.servers: dict[str, ReplayedServer] = {}
        """Those of the recording, by name."""
        wanted = dict(addresses or {})
        for name in wanted:
            if name not in recording:
                raise KeyError(f"{name!r}: the recording has {', '.join(recording)}.")
        try:
            for name, server in recording.items():
                made = _server_of(server, wanted.get(name, ANY_PORT))
                self.servers[name] = made
                for stream in server:
                    made.declare_stream(
                        stream,
                        history_bytes=history_bytes,
                        policy="block" if block else "gap",
                        block_timeout_s=60.0,
                    )
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Have the servers answer; nothing is published yet."""
        for server in self.servers.values():
            server.start()

    def wait_for_subscribers(self, timeout: float = math.inf) -> bool:
        """Wait until each stream is followed by somebody; say whether that is so."""
        deadline = time.monotonic() + timeout
        while not all(map(self._is_followed, self.servers)):
            if time.monotonic() >= deadline or self._ending.wait(_LOOK_S):
                return False
        return True

    def play(self, speed: float = 1.0) -> int:
        """Publish all once, in the order of their times, and return how many updates that were.

        It ends before where ``end`` is called.

        Args:
            speed: 2.0 is twice as fast as they came; infinite, as fast as they can be read.

        Raises:
            ValueError: ``speed`` is not positive.
        """
        if not speed > 0:
            raise ValueError(f"'speed' must be positive, not {speed!r}.")
        begun, first, count = time.monotonic(), None, 0
        for timestamp, _, name, stream, update, lost in heapq.merge(*self._streams()):
            first = timestamp if first is None else first
            due = begun + (timestamp - first) / speed
            if self._ending.wait(max(0.0, due - time.monotonic())):
                break
            server = self.servers[name]
            if stream == _DATA:
                server.shown = update.data
            server.publish(
                stream, update.data, timestamp=update.timestamp, copy=False, lost_before=lost
            )
            count += 1
        return count

    def wait_until_sent(self, timeout: float = math.inf) -> bool:
        """Wait until subscribers have all there is; say whether that is so."""
        deadline = time.monotonic() + timeout
        while not all(map(_have_all, self.servers.values())):
            if time.monotonic() >= deadline or self._ending.wait(_LOOK_S):
                return False
        return True

    def end(self) -> None:
        """End what waits or plays, from any thread and signal handler; the servers serve on."""
        self._ending.set()

    def close(self) -> None:
        """Stop all servers, and end what plays; from any thread."""
        self.end()
        for server in self.servers.values():
            server.stop()

    def __enter__(self) -> Replay:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _streams(self) -> list[Iterator[_Due]]:
        """Return the updates of each stream; where times are the same, its place decides."""
        places = [(name, stream) for name, server in self._recording.items() for stream in server]
        return [
            _timed(place, name, self._recording[name][stream])
            for place, (name, stream) in enumerate(places)
        ]

    def _is_followed(self, name: str) -> bool:
        followed = {each.stream for each in self.servers[name].stats().subscribers}
        return followed >= set(self._recording[name])


def _have_all(server: ServerLHC) -> bool:
    return all(
        not each.lag and each.confirmed >= each.first + each.sent + each.lost
        for each in server.stats().subscribers
    )


_Due: TypeAlias = tuple[float, int, str, str, Update, int]
"""Time of an update, place of its stream, server, stream, update, and how many are lost before."""


def _timed(place: int, server: str, stream: Stream) -> Iterator[_Due]:
    """Yield updates with times that never go back, so that merging keeps their order."""
    latest = -math.inf
    losses = losses_before(stream.ledger)
    for update in stream.updates():
        latest = max(latest, update.timestamp)
        lost = losses.pop((update.epoch, update.seq), 0)
        yield latest, place, server, stream.name, update, lost


def _server_of(recorded: Server, address: str) -> ReplayedServer:
    info = recorded.info
    told = info.get("description", {})
    described: dict[Any, Any] = dict(told.get("keys", {}))
    for stream, keys in told.get("streams", {}).items():
        described |= {(stream, key): fields for key, fields in keys.items()}
    device = info.get("device")
    server = ReplayedServer(
        recorded.name,
        address,
        int(info.get("freedom", 0)),
        device if device in AVAILABLE_DEVICES else DEVICE_SHOT,
        name_list=info.get("name_list"),
        plottables_list=info.get("plottables_list"),
        describe=described,
        check_limits=bool(told.get("check_limits")),
        when_moving="busy" if told.get("when_moving") == "busy" else "follow",
    )
    if _DATA in recorded and recorded[_DATA].rows:
        server.shown = recorded[_DATA].update(0).data
    return server
