"""A simulated gas valve."""

from __future__ import annotations

import math
from typing import Any

from laplace_server import protocol
from laplace_server.security.server import ServerSecurity
from laplace_server.sim.device import ANY_PORT, Described, SimulatedDevice
from laplace_server.sim.positions import wanted_positions
from laplace_server.wire.logs import Log

log = Log(protocol.LOGGER_NAME)


class SimulatedGas(SimulatedDevice):
    """A gas valve whose pressure follows what SET asked for, exponentially.

    Data: ``pressures`` and ``targets`` (lists in bar), ``unit``, ``time`` (s since the epoch).

    Args:
        name, address, period_s, remote_stop, security: as for SimulatedMotor.
        time_constant_s: time to come within 37 % of a step, in seconds.
        highest: greatest pressure allowed, in bar.
    """

    device = protocol.DEVICE_GAS

    def __init__(
        self,
        name: str = "gas",
        address: str = ANY_PORT,
        *,
        time_constant_s: float = 0.5,
        highest: float = 60.0,
        period_s: float = 0.05,
        remote_stop: bool = True,
        security: ServerSecurity | None = None,
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
            security=security,
        )
        self.server.set_on_position_changed(self._on_set)

    def _on_set(self, positions: Any) -> None:
        with self._lock:
            try:
                wanted = wanted_positions(positions, 1, (0.0, self._highest), "bar")
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

    def _described(self) -> Described:
        pressures = {
            "dtype": "float64",
            "shape": (1,),
            "unit": "bar",
            "limits": (0.0, self._highest),
        }
        return {
            "pressures": {**pressures, "writable": True, "text": "what it is"},
            "targets": {**pressures, "text": "what it becomes"},
            "unit": {"dtype": "str", "shape": (), "text": "of pressures and targets"},
        }
