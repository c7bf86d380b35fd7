"""What all simulated devices share."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, TypeAlias, TypeVar

from laplace_server.security.server import ServerSecurity
from laplace_server.server_lhc import ServerLHC

ANY_PORT = "tcp://127.0.0.1:*"

_TIME = {"dtype": "float64", "shape": (), "unit": "s", "text": "when it was so, since 1970"}

# Some minutes of small updates, some seconds of images: nobody records simulations for long.
_HISTORY_BYTES = 4 << 20

Described: TypeAlias = dict[str | tuple[str, str], dict[str, Any]]
"""By key of the data, or by (stream, key)."""

_Device = TypeVar("_Device", bound="SimulatedDevice")


class SimulatedDevice(ABC):
    """What all simulated devices share: a server, a thread, a start and an end.

    A context manager: entering starts it, leaving stops it. A STOP from a client ends it too.

    Attributes: ``server`` (the ServerLHC it owns).

    Raises:
        TypeError, ValueError, zmq.ZMQError: what ServerLHC raises, such as for a taken port.
    """

    device: ClassVar[str]
    stream: ClassVar[str] = "data"
    """The stream that it has."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        freedom: int,
        period_s: float,
        name_list: list[str],
        plottables_list: list[str],
        remote_stop: bool,
        security: ServerSecurity | None,
    ) -> None:
        if not 0 < period_s < math.inf:
            raise ValueError(f"The time between two updates must be positive, got {period_s} s.")
        self._period_s = period_s
        self._ending = threading.Event()
        # Held while the state changes and until it is published: callbacks run in the server's
        # thread, and an older state must not be published over a newer one.
        self._lock = threading.Lock()
        self._advanced_at = time.monotonic()
        self.server = ServerLHC(
            name=name,
            address=address,
            freedom=freedom,
            device=self.device,
            data={**self._state(), "time": time.time()},
            name_list=name_list,
            plottables_list=plottables_list,
            remote_stop=remote_stop,
            security=security,
            describe={**self._described(), "time": _TIME},
        )
        self.server.declare_stream(self.stream, history_bytes=_HISTORY_BYTES)
        self._thread = threading.Thread(target=self._run, name=f"{name} simulation")

    @property
    def local_address(self) -> str:
        """Where clients on this machine reach it, as ``tcp://host:port``."""
        host = self.server.address.removeprefix("tcp://").rpartition(":")[0]
        if host in ("*", "0.0.0.0"):
            host = "127.0.0.1"
        return f"tcp://{host}:{int(self.server.server_port)}"

    def start(self) -> None:
        """Start serving and simulating; once only, like a thread."""
        self._advanced_at = time.monotonic()
        self.server.start()
        self._thread.start()

    def stop(self) -> None:
        """End the simulation and its server. Any thread may call it, also twice."""
        self._ending.set()
        self.server.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def is_alive(self) -> bool:
        """True from start() until stop() or a client's STOP has ended it."""
        return self._thread.is_alive()

    def __enter__(self: _Device) -> _Device:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def _advance(self, seconds: float) -> None:
        """Let time pass. Called with the lock held."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Return what clients may read. Called with the lock held."""

    @abstractmethod
    def _described(self) -> Described:
        """Return what clients are told of the state, and of the stream if that is another."""

    def _advance_to_now(self) -> None:
        now = time.monotonic()
        self._advance(now - self._advanced_at)
        self._advanced_at = now

    def _publish(self) -> None:
        """Hand the state to the server. Called with the lock held."""
        # The state is copied while it is handed over, so the server never has to look again.
        self.server.set_data({**self._state(), "time": time.time()}, copy=True)

    def _stream_update(self) -> dict[str, Any] | None:
        """Return what a step adds to the stream, if set_data does not. The lock is held."""
        return None

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            # After a delay, such as other threads holding the GIL, it does not catch up.
            due = max(due + self._period_s, time.monotonic())
            if self._ending.wait(due - time.monotonic()) or not self.server.is_alive():
                return
            with self._lock:
                self._advance_to_now()
                update = self._stream_update()
                if update is not None:
                    self.server.publish(self.stream, update)
                self._publish()
