"""A simulated motor."""

from __future__ import annotations

import math
from typing import Any

from laplace_server import protocol
from laplace_server.security.server import ServerSecurity
from laplace_server.sim.device import ANY_PORT, Described, SimulatedDevice
from laplace_server.sim.positions import wanted_positions
from laplace_server.wire.logs import Log

log = Log(protocol.LOGGER_NAME)


class SimulatedMotor(SimulatedDevice):
    """A stage whose axes move at a finite speed towards what SET asked for.

    Data: ``positions`` and ``targets`` (lists in mm), ``moving``, ``unit``, ``time`` (s since the
    epoch). SET takes a list (None holds an axis) or a dict such as ``{"0": 1.5}``; a target
    outside the limits or an axis that is not there is refused with a warning in the log. HALT holds
    all axes where they are.

    Args:
        name, address: as for ServerLHC; any free port of this machine unless told.
        axes: how many.
        speed: of each axis, in mm/s.
        limits: lowest and highest position, in mm.
        period_s: time between two updates, in seconds.
        remote_stop: whether clients may stop it.
        security: as for ServerLHC.
    """

    device = protocol.DEVICE_MOTOR

    def __init__(
        self,
        name: str = "motor",
        address: str = ANY_PORT,
        *,
        axes: int = 2,
        speed: float = 5.0,
        limits: tuple[float, float] = (-50.0, 50.0),
        period_s: float = 0.02,
        remote_stop: bool = True,
        security: ServerSecurity | None = None,
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
            security=security,
        )
        self.server.set_on_position_changed(self._on_set)
        self.server.set_on_halt(self._on_halt)

    def _on_set(self, positions: Any) -> None:
        with self._lock:
            try:
                wanted = wanted_positions(positions, len(self._targets), self._limits, "mm")
            except ValueError as error:
                log.warning("[Server %s] SET refused: %s", self.server.name, error)
                return
            # First up to now, so that the new target does not act on the past.
            self._advance_to_now()
            for axis, target in wanted.items():
                self._targets[axis] = target
            if self._positions != self._targets:
                self.server.begin_move()
            self._publish()

    def _on_halt(self) -> None:
        with self._lock:
            self._advance_to_now()
            self._targets = list(self._positions)
            self._publish()

    def _publish(self) -> None:
        super()._publish()
        if self._positions == self._targets:
            self.server.end_move()

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

    def _described(self) -> Described:
        axes = {
            "dtype": "float64",
            "shape": (len(self._positions),),
            "unit": "mm",
            "limits": self._limits,
        }
        return {
            "positions": {
                **axes,
                "writable": True,
                "moving": "moving",
                "text": "where the axes are",
            },
            "targets": {**axes, "text": "where the axes go"},
            "moving": {"dtype": "bool", "shape": (), "text": "whether any axis moves"},
            "unit": {"dtype": "str", "shape": (), "text": "of positions and targets"},
        }
