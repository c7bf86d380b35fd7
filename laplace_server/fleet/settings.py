"""Settings: what devices are told, and told again when they come back."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from laplace_server.client.requests import Request, Requests
from laplace_server.wire import commands, message_json

_LASTING = (commands.SAVE, commands.TOGGLE_SAVING, commands.SET_ACT, commands.SET_DIAG)
_OWN = {each.name for each in _LASTING}
# Where a setting is checked: whom it is sent to does not matter then.
_NOBODY = Requests("tcp://127.0.0.1:1", "fleet")


@dataclass(frozen=True, eq=False)
class Setting:
    """A command with its value. Two of them are never the same: each is to be told anew."""

    cmd: str
    value: Any

    @classmethod
    def of(cls, cmd: str, value: Any) -> Setting:
        """Make one that no later change of ``value`` reaches.

        Raises:
            TypeError, ValueError: it cannot be sent.
        """
        payload = message_json.decoded(_request(_NOBODY, cmd, value).body)["payload"]
        key = commands.COMMANDS[cmd].key if cmd in _OWN else None
        return cls(cmd, payload if key is None else payload[key])

    @property
    def begins_saving(self) -> bool:
        """Whether it comes after what says where to save."""
        return self.cmd == commands.TOGGLE_SAVING.name and bool(self.value)

    def request(self, requests: Requests) -> Request[Any]:
        """Return what is sent to a device."""
        return _request(requests, self.cmd, self.value)


def _request(requests: Requests, cmd: str, value: Any) -> Request[Any]:
    if cmd in _OWN:
        return requests.of(commands.COMMANDS[cmd], value)
    return requests.any(cmd, value)


class Settings:
    """The methods by which every kind of fleet is told what to tell its devices.

    Each returns at once. ``only`` are the addresses of those who are meant; without it, all are,
    also those added later.
    """

    def save(self, path: str | os.PathLike[str], *, only: Collection[str] | None = None) -> None:
        """Tell where to save; the path is one of the devices' machines.

        Raises:
            TypeError, ValueError: a value that cannot be sent.
            KeyError: one of ``only`` is not in the fleet.
        """
        self._set(commands.SAVE.name, path, only)

    def toggle_saving(self, on: bool, *, only: Collection[str] | None = None) -> None:
        """Switch saving on or off. Whoever comes back is told where to save first. See ``save``."""
        self._set(commands.TOGGLE_SAVING.name, on, only)

    def set_actuators(self, actuators: Any, *, only: Collection[str] | None = None) -> None:
        """Tell scanners which actuators they may move. See ``save``."""
        self._set(commands.SET_ACT.name, actuators, only)

    def set_diagnostics(self, diagnostics: Any, *, only: Collection[str] | None = None) -> None:
        """Tell scanners which diagnostics they may read. See ``save``."""
        self._set(commands.SET_DIAG.name, diagnostics, only)

    def tell(
        self,
        cmd: str,
        payload: Mapping[str, Any] | None = None,
        *,
        only: Collection[str] | None = None,
    ) -> None:
        """Tell a command of the devices' own, which has to do no harm where it is told twice.

        Raises:
            TypeError: a value that cannot be sent.
            ValueError: the same; or a command of the protocol. Those that are settings have methods
                here; none of the others may be repeated to whoever comes back: SET would move it.
            KeyError: one of ``only`` is not in the fleet.
        """
        if isinstance(cmd, str) and cmd in commands.COMMANDS:
            own = ", ".join(sorted(_OWN))
            raise ValueError(
                f"{cmd} is a command of the protocol. Of those, {own} are told by methods of the "
                "fleet; for any other, ask each device by a client."
            )
        self._set(cmd, payload, only)

    def forget(self, cmd: str, *, only: Collection[str] | None = None) -> None:
        """Tell a setting no more, by its command, such as "SAVE". What devices know they keep.

        Raises:
            TypeError: ``cmd`` is not str.
            KeyError: none of those who are meant is told that; or one of ``only`` is not in the
                fleet.
        """
        if not isinstance(cmd, str):
            raise TypeError(f"'cmd' must be str, such as \"SAVE\", not {cmd!r}.")
        self._change(cmd, None, only)

    def _set(self, cmd: str, value: Any, only: Collection[str] | None) -> None:
        self._change(cmd, Setting.of(cmd, value), only)

    def _change(self, cmd: str, setting: Setting | None, only: Collection[str] | None) -> None:
        raise NotImplementedError
