"""Simulated devices: servers that behave like real ones, for demos, examples and tests.

    with SimulatedMotor(address="tcp://*:5555") as motor:
        print(motor.server.address_for_client)
        input("Enter ends it. ")

Each one owns a ServerLHC and a thread that advances the simulation and publishes its data. Each
has a stream: "images" of a camera, "shots" of a shot counter, "data" of the others, with all that
GET shows.
"""

from __future__ import annotations

import math
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, TypeGuard, TypeVar

from laplace_server import protocol
from laplace_server.logs import Log
from laplace_server.server_lhc import ServerLHC

__all__ = [
    "SIMULATED_DEVICES",
    "SimulatedCamera",
    "SimulatedDevice",
    "SimulatedGas",
    "SimulatedMotor",
    "SimulatedShot",
    "make_device",
]

log = Log(protocol.LOGGER_NAME)

_ANY_PORT = "tcp://127.0.0.1:*"

# Some minutes of small updates, some seconds of images: nobody records simulations for long.
_HISTORY_BYTES = 4 << 20

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


class SimulatedMotor(SimulatedDevice):
    """A stage whose axes move at a finite speed towards what SET asked for.

    Data: ``positions`` and ``targets`` (lists in mm), ``moving``, ``unit``, ``time`` (s since the
    epoch). SET takes a list (None holds an axis) or a dict such as ``{"0": 1.5}``; a target
    outside the limits or an axis that is not there is refused with a warning in the log.

    Args:
        name, address: as for ServerLHC; any free port of this machine unless told.
        axes: how many.
        speed: of each axis, in mm/s.
        limits: lowest and highest position, in mm.
        period_s: time between two updates, in seconds.
        remote_stop: whether clients may stop it.
    """

    device = protocol.DEVICE_MOTOR

    def __init__(
        self,
        name: str = "motor",
        address: str = _ANY_PORT,
        *,
        axes: int = 2,
        speed: float = 5.0,
        limits: tuple[float, float] = (-50.0, 50.0),
        period_s: float = 0.02,
        remote_stop: bool = True,
    ) -> None:
        if not speed > 0:
            raise ValueError(f"The speed must be positive, got {speed} mm/s.")
        self._speed = speed
        self._limits = limits
        self._positions = [0.0] * axes
        self._targets = [0.0] * axes
        super().__init__(
            name,
            address,
            freedom=axes,
            period_s=period_s,
            name_list=[f"axis {axis}" for axis in range(axes)],
            plottables_list=["positions"],
            remote_stop=remote_stop,
        )
        self.server.set_on_position_changed(self._on_set)

    def _on_set(self, positions: Any) -> None:
        with self._lock:
            try:
                wanted = _wanted(positions, len(self._targets), self._limits, "mm")
            except ValueError as error:
                log.warning("[Server %s] SET refused: %s", self.server.name, error)
                return
            # First up to now, so that the new target does not act on the past.
            self._advance_to_now()
            for axis, target in wanted.items():
                self._targets[axis] = target
            self._publish()

    def _advance(self, seconds: float) -> None:
        step = self._speed * seconds
        for axis, target in enumerate(self._targets):
            distance = target - self._positions[axis]
            if abs(distance) <= step:
                self._positions[axis] = target
            else:
                self._positions[axis] += math.copysign(step, distance)

    def _state(self) -> dict[str, Any]:
        return {
            "positions": list(self._positions),
            "targets": list(self._targets),
            "moving": self._positions != self._targets,
            "unit": "mm",
        }


class SimulatedGas(SimulatedDevice):
    """A gas valve whose pressure follows what SET asked for, exponentially.

    Data: ``pressures`` and ``targets`` (lists in bar), ``unit``, ``time`` (s since the epoch).

    Args:
        name, address, period_s, remote_stop: as for SimulatedMotor.
        time_constant_s: time to come within 37 % of a step, in seconds.
        highest: greatest pressure allowed, in bar.
    """

    device = protocol.DEVICE_GAS

    def __init__(
        self,
        name: str = "gas",
        address: str = _ANY_PORT,
        *,
        time_constant_s: float = 0.5,
        highest: float = 60.0,
        period_s: float = 0.05,
        remote_stop: bool = True,
    ) -> None:
        if not time_constant_s > 0:
            raise ValueError(f"The time constant must be positive, got {time_constant_s} s.")
        self._time_constant_s = time_constant_s
        self._highest = highest
        self._pressure = 0.0
        self._target = 0.0
        super().__init__(
            name,
            address,
            freedom=1,
            period_s=period_s,
            name_list=["pressure"],
            plottables_list=["pressures"],
            remote_stop=remote_stop,
        )
        self.server.set_on_position_changed(self._on_set)

    def _on_set(self, positions: Any) -> None:
        with self._lock:
            try:
                wanted = _wanted(positions, 1, (0.0, self._highest), "bar")
            except ValueError as error:
                log.warning("[Server %s] SET refused: %s", self.server.name, error)
                return
            self._advance_to_now()
            self._target = wanted.get(0, self._target)
            self._publish()

    def _advance(self, seconds: float) -> None:
        left = math.exp(-seconds / self._time_constant_s)
        self._pressure = self._target + (self._pressure - self._target) * left

    def _state(self) -> dict[str, Any]:
        return {"pressures": [self._pressure], "targets": [self._target], "unit": "bar"}


class _SavingDevice(SimulatedDevice):
    """A device that is told where and whether to save. It only counts: nothing is written."""

    def __init__(self, name: str, address: str, **options: Any) -> None:
        self._path: str | None = None
        self._saving = False
        self._saved = 0
        super().__init__(name, address, **options)
        self.server.set_on_saving_path_changed(self._on_save)
        self.server.set_on_saving_status_toggled(self._on_toggle_saving)

    def _on_save(self, path: Any) -> None:
        with self._lock:
            self._path = str(path)
            self._publish()

    def _on_toggle_saving(self, on: Any) -> None:
        with self._lock:
            self._saving = bool(on)
            self._publish()

    def _count_saved(self) -> None:
        if self._saving and self._path is not None:
            self._saved += 1

    def _state(self) -> dict[str, Any]:
        return {"path": self._path, "saving": self._saving, "saved": self._saved}


class SimulatedCamera(_SavingDevice):
    """A small camera that watches a spot wander.

    Data: ``image`` (rows of columns, counts of a 12-bit sensor), ``frame`` (number of the image),
    ``exposure_ms``, ``path``, ``saving``, ``saved`` (images counted since saving was switched on
    with a path set), ``scan`` (the payload of the last SCAN), ``time`` (s since the epoch). OPT
    takes ``{"exposure_ms": 4.0}``.

    Stream ``images``: every one, as ``image`` (an array of uint16 where NumPy is installed, else
    lists as in the data), ``frame`` and ``exposure_ms``.

    Args:
        name, address, remote_stop: as for SimulatedMotor.
        columns, rows: size of the image, in pixels.
        rate_hz: images per second.
        seed: of the noise; None is different each time.
    """

    device = protocol.DEVICE_CAMERA
    stream = "images"

    _FULL_SCALE = 4095
    _HIGHEST_EXPOSURE_MS = 1000.0

    def __init__(
        self,
        name: str = "camera",
        address: str = _ANY_PORT,
        *,
        columns: int = 16,
        rows: int = 12,
        rate_hz: float = 10.0,
        seed: int | None = None,
        remote_stop: bool = True,
    ) -> None:
        if columns < 1 or rows < 1:
            raise ValueError(f"An image needs pixels, got {columns} by {rows}.")
        if not rate_hz > 0:
            raise ValueError(f"The rate must be positive, got {rate_hz} Hz.")
        self._columns = columns
        self._rows = rows
        self._numpy = _numpy_if_there()
        self._noise = random.Random(seed)
        self._clock_s = 0.0
        self._frame = 0
        self._exposure_ms = 1.0
        self._scan: Any = None
        self._image: list[list[int]] = []
        self._expose()
        super().__init__(
            name,
            address,
            freedom=0,
            period_s=1.0 / rate_hz,
            name_list=[],
            plottables_list=["image"],
            remote_stop=remote_stop,
        )
        self.server.set_on_opt(self._on_opt)
        self.server.set_on_scan(self._on_scan)

    def _on_opt(self, data: Any) -> None:
        exposure = data.get("exposure_ms") if isinstance(data, Mapping) else None
        if not _is_number(exposure) or not 0 < exposure <= self._HIGHEST_EXPOSURE_MS:
            log.warning("[Server %s] OPT refused: no usable 'exposure_ms'.", self.server.name)
            return
        with self._lock:
            self._exposure_ms = float(exposure)
            self._publish()

    def _on_scan(self, message: Any) -> None:
        with self._lock:
            self._scan = message.get("payload")
            self._publish()

    def _advance(self, seconds: float) -> None:
        self._clock_s += seconds
        self._frame += 1
        self._expose()
        self._count_saved()

    def _expose(self) -> None:
        """Fill the image: a Gaussian spot on a slow curve, an offset, and noise."""
        width = 0.15 * min(self._columns, self._rows) + 0.5
        across = (self._columns - 1) * (0.5 + 0.3 * math.sin(0.9 * self._clock_s))
        down = (self._rows - 1) * (0.5 + 0.3 * math.cos(0.7 * self._clock_s))
        height = 1500.0 * self._exposure_ms
        # A Gaussian is the product of one along the columns and one along the rows.
        profile = [math.exp(-(((x - across) / width) ** 2) / 2) for x in range(self._columns)]
        self._image = []
        for y in range(self._rows):
            peak = height * math.exp(-(((y - down) / width) ** 2) / 2)
            self._image.append([self._counts(100.0 + peak * share) for share in profile])

    def _counts(self, light: float) -> int:
        return min(max(round(self._noise.gauss(light, 8.0)), 0), self._FULL_SCALE)

    def _state(self) -> dict[str, Any]:
        return {
            "image": self._image,
            "frame": self._frame,
            "exposure_ms": self._exposure_ms,
            "scan": self._scan,
            **super()._state(),
        }

    def _stream_update(self) -> dict[str, Any]:
        image = self._image if self._numpy is None else self._numpy.array(self._image, "<u2")
        return {"image": image, "frame": self._frame, "exposure_ms": self._exposure_ms}


class SimulatedShot(_SavingDevice):
    """A shot counter.

    Data: ``shot`` (number of the last shot), ``path``, ``saving``, ``saved`` (shots counted with
    saving on and a path set), ``time`` (s since the epoch). Stream ``shots``: each shot, as
    ``shot``.

    Args:
        name, address, remote_stop: as for SimulatedMotor.
        rate_hz: shots per second.
    """

    device = protocol.DEVICE_SHOT
    stream = "shots"

    def __init__(
        self,
        name: str = "shot",
        address: str = _ANY_PORT,
        *,
        rate_hz: float = 1.0,
        remote_stop: bool = True,
    ) -> None:
        if not rate_hz > 0:
            raise ValueError(f"The rate must be positive, got {rate_hz} Hz.")
        self._shot = 0
        super().__init__(
            name,
            address,
            freedom=0,
            period_s=1.0 / rate_hz,
            name_list=[],
            plottables_list=["shot"],
            remote_stop=remote_stop,
        )

    def _advance(self, seconds: float) -> None:
        self._shot += 1
        self._count_saved()

    def _state(self) -> dict[str, Any]:
        return {"shot": self._shot, **super()._state()}

    def _stream_update(self) -> dict[str, Any]:
        return {"shot": self._shot}


SIMULATED_DEVICES: Mapping[str, type[SimulatedDevice]] = {
    kind.device: kind for kind in (SimulatedMotor, SimulatedCamera, SimulatedGas, SimulatedShot)
}


def make_device(device: str, **options: Any) -> SimulatedDevice:
    """Return a simulated device of a kind from ``SIMULATED_DEVICES``, such as "MOTOR".

    ``options`` are those of its class: ``name``, ``address`` and more.

    Raises:
        ValueError: there is no simulation of that kind.
    """
    kind = SIMULATED_DEVICES.get(device)
    if kind is None:
        raise ValueError(f"No simulated device {device!r}. Choose among {list(SIMULATED_DEVICES)}.")
    return kind(**options)


def _wanted(positions: Any, axes: int, limits: tuple[float, float], unit: str) -> dict[int, float]:
    """Read the value of a SET: the target of each axis that shall move.

    Raises:
        ValueError: it is neither a list nor a dict, or one of its items cannot be had.
    """
    if isinstance(positions, Mapping):
        items = list(positions.items())
    elif isinstance(positions, Sequence) and not isinstance(positions, str):
        items = list(enumerate(positions))
    else:
        raise ValueError(f"positions are a list or a dict, not {type(positions).__name__}.")
    wanted: dict[int, float] = {}
    for key, target in items:
        try:
            axis = int(key)
        except (TypeError, ValueError):
            axis = -1
        if not 0 <= axis < axes:
            raise ValueError(f"there is no axis {key!r}.")
        if target is None:
            continue
        # Also refuses NaN.
        if not _is_number(target) or not limits[0] <= target <= limits[1]:
            raise ValueError(
                f"axis {axis} goes from {limits[0]:g} to {limits[1]:g} {unit}, not to {target!r}."
            )
        wanted[axis] = float(target)
    return wanted


def _numpy_if_there() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
