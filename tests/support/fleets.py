"""Devices in processes of their own, which are killed and come back."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from support.machine import within
from support.ports import own_address
from support.served_apart import ServedApart
from support.standstill import go_on, stand_still

# So that a test need not wait for what a fleet does each half second.
QUICK: dict[str, Any] = {"period_s": 0.02, "timeout_s": within(0.5)}
NOBODY = "nobody listens there"
"""Why a device is missing that was killed, once a look has found its port free."""

TOLD = """
told = []

class ServerLHC(ServerLHC):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.set_on_saving_path_changed(lambda path: told.append(["SAVE", path]))
        self.set_on_saving_status_toggled(lambda on: told.append(["TOGGLE SAVING", on]))
        self.set_on_set_actuators(lambda actuators: told.append(["SET ACT", actuators]))
"""


class Mortal:
    """A device that writes down what it is told, on a port that stays its own."""

    def __init__(self, name: str = "device", *, before: str = TOLD, start: bool = True) -> None:
        self.name = name
        self.address = own_address()
        self._before = before
        self._served: ServedApart | None = None
        if start:
            self.start()

    def start(self) -> None:
        self._served = ServedApart(self._before, name=self.name, address=self.address)

    def kill(self) -> None:
        """End its process as ``kill -9`` does."""
        assert self._served is not None
        self._served.child.close()
        self._served = None

    def restart(self) -> None:
        self.kill()
        self.start()

    def suspend(self) -> None:
        """Let it stand still: its machine is there, and takes what is sent."""
        assert self._served is not None
        stand_still(self._served.process.pid)

    def resume(self) -> None:
        assert self._served is not None
        go_on(self._served.process.pid)

    def run(self, line: str) -> Any:
        assert self._served is not None
        return self._served.run(line)

    def told(self) -> list[list[Any]]:
        """What it was told since it was started."""
        found: list[list[Any]] = self.run("told")
        return found

    def __enter__(self) -> Mortal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._served is not None:
            self.kill()
