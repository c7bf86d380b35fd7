"""A recorded server that is served again: its lives, one after the other, at one address."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zmq

from laplace_server.description import DeviceDescription
from laplace_server.protocol import AVAILABLE_DEVICES, DEVICE_SHOT
from laplace_server.recording.lives import Event, Life, events_of, lives_of
from laplace_server.recording.part import described_by
from laplace_server.recording.reading import Server
from laplace_server.server.context import EPOCH
from laplace_server.server.engine import engine_of
from laplace_server.server_lhc import ServerLHC

BLOCK_S = 60.0
"""How long publishing waits for those who follow."""
_DATA = "data"
_REJOIN_S = 10.0  # for those who followed, once it is there again
_ASK_S = 0.5  # for those who ask INFO of a life when its first update has come
_BIND_S = 5.0  # somebody's outgoing connection may have got the port
_LOOK_S = 0.02
_NOTHING_DESCRIBED = DeviceDescription("", "", 0)


class ReplayedServer(ServerLHC):
    """A life of a recorded server: with its epoch, name, kind and description.

    Its data is what was recorded last of its stream "data": ``set_data`` would append to that
    stream with the time of now.
    """

    shown: Mapping[str, Any] = {}

    def __init__(self, recorded: Server, epoch: int | None, told: int, address: str) -> None:
        info = recorded.info_of(told)
        description = described_by(info, recorded.address) or _NOTHING_DESCRIBED
        described: dict[Any, Any] = dict(description.keys)
        for stream, keys in description.streams.items():
            described |= {(stream, key): fields for key, fields in keys.items()}
        device, freedom = info.get("device"), info.get("freedom")
        vars(self)[EPOCH] = epoch
        super().__init__(
            str(info.get("name") or recorded.name),
            address,
            freedom if type(freedom) is int and freedom >= 0 else 0,
            device if device in AVAILABLE_DEVICES else DEVICE_SHOT,
            name_list=info.get("name_list"),
            plottables_list=info.get("plottables_list"),
            describe=described,
            check_limits=description.check_limits,
            when_moving=description.when_moving,
        )

    @property
    def data(self) -> dict[Any, Any]:
        """What GET returns."""
        return dict(self.shown)


class ReplayedDevice:
    """Serves the lives of a recorded server; one thread plays, any may stop it.

    Args:
        recorded: the server in the recording.
        address: where it listens.
        history_bytes: of each stream.
        block: whether publishing, and the end of a life, wait for those who follow.
        ending: set, nothing waits any more.

    Raises:
        TypeError, ValueError, zmq.ZMQError: as ``ServerLHC``.
    """

    def __init__(
        self,
        recorded: Server,
        address: str,
        history_bytes: int,
        block: bool,
        ending: threading.Event,
    ) -> None:
        self._recorded = recorded
        self._history_bytes = history_bytes
        self._block = block
        self._ending = ending
        self._lives = lives_of(recorded) or [Life(0, {})]
        self._epochs: set[int] = set()  # that were given out
        self._published: dict[str, int] = {}  # the last number of each stream, in this life
        self._played = False
        self._lock = threading.RLock()  # of what follows
        self._stopped = False
        self._number = 0
        self.server = self._made(0, address)

    @property
    def streams(self) -> set[str]:
        """Those of the present life."""
        return set(self._lives[self._number].spans)

    @property
    def followed(self) -> set[str]:
        """Those that somebody follows."""
        return {each.stream for each in self.server.stats().subscribers}

    def events(self) -> Iterator[Event]:
        """Yield all updates from the first life on; it begins anew where that was played."""
        if self._played:
            self._go_to(0)
        self._played = True
        return events_of(self._recorded, self._lives)

    def publish(self, event: Event) -> None:
        """Publish an update, in its life."""
        self._reach(event.life)
        server, update = self.server, event.update
        if event.stream == _DATA:
            server.shown = update.data
        self._published[event.stream] = server.publish(
            event.stream,
            update.data,
            timestamp=update.timestamp,
            copy=False,
            lost_before=event.lost_before,
        )

    def finish(self) -> None:
        """All was published: tell what is lost at the end, where the recording has that."""
        self._reach(len(self._lives) - 1)
        self._finish("ended")

    def wait(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Wait until something holds; say whether it does."""
        deadline = time.monotonic() + timeout
        while not holds():
            if time.monotonic() >= deadline or self._ending.wait(_LOOK_S):
                return False
        return True

    def all_have_it(self) -> bool:
        """Say whether subscribers have all that was published in this life."""
        return all(
            each.confirmed > self._published.get(each.stream, 0)
            for each in self.server.stats().subscribers
        )

    def stop(self) -> None:
        """Stop serving; from any thread, again does nothing."""
        with self._lock:
            self._stopped = True
            self.server.stop()

    # ---- lives

    def _reach(self, number: int) -> None:
        while self._number < number and not self._ending.is_set():
            self._go_to(self._number + 1)

    def _go_to(self, number: int) -> None:
        """Restart, as another life."""
        followed, streams = self.followed, self.streams
        self._finish("broken off" if number else "ended")
        if self._block:
            self.wait(self.all_have_it, BLOCK_S)
            self._ending.wait(_ASK_S)
        with self._lock:
            if self._stopped:
                return
            self.server.stop()
            self._number = number
            self._published = {}
            before, self.server = self.server, self._bound_again(number, self.server)
            if before.ident is not None:  # it was started
                self.server.start()
        if self._block and followed:
            wanted = self.streams if followed >= streams else self.streams & followed
            self.wait(lambda: self.followed >= wanted, _REJOIN_S)

    def _finish(self, unless_told: str) -> None:
        """Let streams end as the recording says; nothing is published in this life any more."""
        ends = engine_of(self.server).streams
        for stream, span in self._lives[self._number].spans.items():
            ending = span.ending or unless_told
            ends.finish(stream, span.lost_behind, ending == "ended")

    def _bound_again(self, number: int, before: ReplayedServer) -> ReplayedServer:
        deadline = time.monotonic() + _BIND_S
        while True:
            try:
                made = self._made(number, before.address)
            except zmq.ZMQError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline:
                    raise
                time.sleep(_LOOK_S)
            else:
                made.shown = made.shown or before.shown
                return made

    def _made(self, number: int, address: str) -> ReplayedServer:
        life = self._lives[number]
        # Once over, an epoch does not come again: who follows would take nothing of it.
        epoch = None if life.epoch in self._epochs else life.epoch
        server = ReplayedServer(self._recorded, epoch, life.epoch, address)
        self._epochs.add(server.epoch)
        try:
            streams = engine_of(server).streams
            for stream, span in life.spans.items():
                streams.declare(
                    stream,
                    history_bytes=self._history_bytes,
                    history_count=None,
                    policy="block" if self._block else "gap",
                    block_timeout_s=BLOCK_S,
                    first=span.first,
                )
            data = life.spans.get(_DATA)
            if data is not None and data.begin < data.end:
                server.shown = self._recorded[_DATA].update(data.begin).data
        except BaseException:
            server.stop()
            raise
        return server
