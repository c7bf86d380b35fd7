"""What a program sees of its fleet, whatever way it waits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from laplace_server.fleet.following import Following
from laplace_server.fleet.settings import Setting, Settings
from laplace_server.fleet.state import DeviceState

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

Result = TypeVar("Result")


class FleetFace(Settings):
    """Its devices and their settings; all of this returns at once."""

    _following: Following

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those of its devices, in the order they were added."""
        return tuple(self.devices())

    def devices(self) -> dict[str, DeviceState]:
        """Return what is known of each device now, by address, in the order they were added."""
        return self._call(self._following.states)

    def __getitem__(self, address: str) -> DeviceState:
        """Return what is known of a device; raise KeyError where it is not in the fleet."""
        return self._call(lambda: self._following.state(address))

    def __contains__(self, address: object) -> bool:
        return self._call(lambda: self._following.has(address))

    def add(self, address: str, *, security: ClientSecurity | None = None) -> None:
        """Add a device, which is told the settings that all are told.

        Args:
            address: ``tcp://host:port``. Two ways of writing it, such as capitals, are one address;
                two names of one machine are not.
            security: the keys for it, unless the fleet's ``security`` knows them; that is called in
                the thread that calls this.

        Raises:
            ValueError: that is no address, or it is in the fleet already.
            TypeError: an argument of the wrong type.
        """
        keys = self._following.security_of(address, security)
        self._call(lambda: self._following.add(address, keys))

    def remove(self, address: str) -> None:
        """Remove a device; nothing more is said to it, nor of it.

        Raises:
            KeyError: it is not in the fleet.
        """
        self._call(lambda: self._following.remove(address))

    def missing(self) -> dict[str, str]:
        """Return which devices are not there or have not confirmed all settings, and why."""
        return self._call(self._following.missing)

    def _change(self, cmd: str, setting: Setting | None, only: Collection[str] | None) -> None:
        self._call(lambda: self._following.change(cmd, setting, only))

    def _call(self, function: Callable[[], Result]) -> Result:
        """Call something of ``_following`` where it may be called."""
        raise NotImplementedError
