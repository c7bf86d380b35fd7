"""A simulated camera."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from laplace_server import protocol
from laplace_server.security.server import ServerSecurity
from laplace_server.sim.device import ANY_PORT, Described
from laplace_server.sim.positions import is_number
from laplace_server.sim.saving import SavingDevice
from laplace_server.wire.logs import Log

log = Log(protocol.LOGGER_NAME)


class SimulatedCamera(SavingDevice):
    """A small camera that watches a spot wander.

    Data: ``image`` (rows of columns, counts of a 12-bit sensor), ``frame`` (number of the image),
    ``exposure_ms``, ``path``, ``saving``, ``saved`` (images counted since saving was switched on
    with a path set), ``scan`` (the payload of the last SCAN), ``time`` (s since the epoch). OPT
    takes ``{"exposure_ms": 4.0}``.

    Stream ``images``: every one, as ``image`` (an array of uint16 where NumPy is installed, else
    lists as in the data), ``frame`` and ``exposure_ms``.

    Args:
        name, address, remote_stop, security: as for SimulatedMotor.
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
        address: str = ANY_PORT,
        *,
        columns: int = 16,
        rows: int = 12,
        rate_hz: float = 10.0,
        seed: int | None = None,
        remote_stop: bool = True,
        security: ServerSecurity | None = None,
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
            security=security,
        )
        self.server.set_on_opt(self._on_opt)
        self.server.set_on_scan(self._on_scan)

    def _on_opt(self, data: Any) -> None:
        exposure = data.get("exposure_ms") if isinstance(data, Mapping) else None
        if not is_number(exposure) or not 0 < exposure <= self._HIGHEST_EXPOSURE_MS:
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

    def _described(self) -> Described:
        counts = {
            "shape": (self._rows, self._columns),
            "unit": "count",
            "limits": (0, self._FULL_SCALE),
            "text": "rows of columns",
        }
        frame = {"dtype": "int64", "shape": (), "text": "number of the image"}
        exposure = {
            "dtype": "float64",
            "shape": (),
            "unit": "ms",
            "limits": (0.0, self._HIGHEST_EXPOSURE_MS),
            "text": "set by OPT",
        }
        of_stream = "int64" if self._numpy is None else "uint16"
        return {
            "image": {**counts, "dtype": "int64"},
            "frame": frame,
            "exposure_ms": exposure,
            "scan": {"text": "payload of the last SCAN"},
            **super()._described(),
            (self.stream, "image"): {**counts, "dtype": of_stream},
            (self.stream, "frame"): frame,
            (self.stream, "exposure_ms"): exposure,
        }


def _numpy_if_there() -> Any:
    try:
        import numpy
    except ImportError:
        return None
    return numpy
