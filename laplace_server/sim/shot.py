"""A simulated shot counter."""

from __future__ import annotations

from typing import Any

from laplace_server import protocol
from laplace_server.security.server import ServerSecurity
from laplace_server.sim.device import ANY_PORT, Described
from laplace_server.sim.saving import SavingDevice


class SimulatedShot(SavingDevice):
    """A shot counter.

    Data: ``shot`` (number of the last shot), ``path``, ``saving``, ``saved`` (shots counted with
    saving on and a path set), ``time`` (s since the epoch). Stream ``shots``: each shot, as
    ``shot``.

    Args:
        name, address, remote_stop, security: as for SimulatedMotor.
        rate_hz: shots per second.
    """

    device = protocol.DEVICE_SHOT
    stream = "shots"

    def __init__(
        self,
        name: str = "shot",
        address: str = ANY_PORT,
        *,
        rate_hz: float = 1.0,
        remote_stop: bool = True,
        security: ServerSecurity | None = None,
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
            security=security,
        )

    def _advance(self, seconds: float) -> None:
        self._shot += 1
        self._count_saved()

    def _state(self) -> dict[str, Any]:
        return {"shot": self._shot, **super()._state()}

    def _stream_update(self) -> dict[str, Any]:
        return {"shot": self._shot}

    def _described(self) -> Described:
        shot = {"dtype": "int64", "shape": (), "text": "number of the last shot"}
        return {"shot": shot, (self.stream, "shot"): shot, **super()._described()}
