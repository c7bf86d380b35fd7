"""A recording served again: its servers, with the streams, numbers and times that they had."""

from __future__ import annotations

import heapq
import math
import threading
import time
from collections.abc import Iterator, Mapping
from types import TracebackType

from laplace_server.recording.lives import Event
from laplace_server.recording.reading import Recording
from laplace_server.recording.replayed_device import ReplayedDevice, ReplayedServer

ANY_PORT = "tcp://127.0.0.1:*"
_LOOK_S = 0.05


class Replay:
    """Serves a recording; a context manager starts and stops its servers.

        with laplace_server.recording.open("run.h5") as recording, Replay(recording) as replay:
            print(replay.servers["camera"].address)
            replay.wait_for_subscribers(60.0)
            replay.play()

    Updates have the numbers, epochs and times that they had; what the recording has lost is lost
    again. Where a server was restarted or had been killed, it does so again: whoever follows is
    told of the end, or is not, and finds its next life at the same address. A server that had ended
    last serves on until ``close``, and ends so then.

    Args:
        recording: an open one.
        addresses: where each server listens, by name; others take a free port of this machine.
        history_bytes: of each stream.
        block: whether publishing waits for subscribers, so that they lose nothing however quick it
            is, as streams of policy "block" do; and so does the end of a server's life, and the
            begin of the next for those who followed before.

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
        self._ending = threading.Event()
        self._devices: dict[str, ReplayedDevice] = {}
        wanted = dict(addresses or {})
        for name in wanted:
            if name not in recording:
                raise KeyError(f"{name!r}: the recording has {', '.join(recording)}.")
        try:
            for name, server in recording.items():
                address = wanted.get(name, ANY_PORT)
                self._devices[name] = ReplayedDevice(
                    server, address, history_bytes, block, self._ending
                )
        except BaseException:
            self.close()
            raise

    @property
    def servers(self) -> dict[str, ReplayedServer]:
        """Those of the recording, by name; each in its present life, whose address stays."""
        return {name: device.server for name, device in self._devices.items()}

    def start(self) -> None:
        """Have the servers answer; nothing is published yet."""
        for server in self.servers.values():
            server.start()

    def wait_for_subscribers(self, timeout: float = math.inf) -> bool:
        """Wait until each stream is followed by somebody; say whether that is so.

        Streams that come with a later life of their server are not waited for.
        """
        deadline = time.monotonic() + timeout
        while not all(each.followed >= each.streams for each in self._devices.values()):
            if time.monotonic() >= deadline or self._ending.wait(_LOOK_S):
                return False
        return True

    def play(self, speed: float = 1.0) -> int:
        """Publish all once, in the order of their times, and return how many updates that were.

        It ends before where ``end`` is called. Called again, each server is restarted and has
        epochs that are new: those of the recording are over.

        Args:
            speed: 2.0 is twice as fast as they came; infinite, as fast as they can be read.

        Raises:
            ValueError: ``speed`` is not positive.
            zmq.ZMQError: a server cannot be restarted, since another program has its port.
        """
        if not speed > 0:
            raise ValueError(f"'speed' must be positive, not {speed!r}.")
        devices = list(self._devices.values())
        events = heapq.merge(*(_of(place, each) for place, each in enumerate(devices)))
        begun = first = 0.0
        count = 0
        for timestamp, place, event in events:
            if not count:
                begun, first = time.monotonic(), timestamp
            due = begun + (timestamp - first) / speed
            pause = min(max(0.0, due - time.monotonic()), threading.TIMEOUT_MAX)
            if self._ending.wait(pause):
                return count
            devices[place].publish(event)
            count += 1
        for device in devices:
            device.finish()
        return count

    def wait_until_sent(self, timeout: float = math.inf) -> bool:
        """Wait until subscribers have all there is; say whether that is so."""
        deadline = time.monotonic() + timeout
        return all(
            each.wait(each.all_have_it, deadline - time.monotonic())
            for each in self._devices.values()
        )

    def end(self) -> None:
        """End what waits or plays, from any thread and signal handler; the servers serve on."""
        self._ending.set()

    def close(self) -> None:
        """Stop all servers, and end what plays; from any thread."""
        self.end()
        for device in self._devices.values():
            device.stop()

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


def _of(place: int, device: ReplayedDevice) -> Iterator[tuple[float, int, Event]]:
    """Yield when each update is due; where times are the same, the place decides."""
    for event in device.events():
        yield event.time, place, event
