"""A device of a fleet as it is known so far, without sockets and clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from laplace_server.fleet.settings import Setting
from laplace_server.fleet.state import DeviceState, SettingState
from laplace_server.wire.commands import SAVE

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between two attempts to tell a setting: each is twice as long as the one before."""


@dataclass
class Telling:
    """How far a device knows a setting, from one joining to the next or until it is set anew."""

    setting: Setting
    told: bool = False
    final: bool = False
    """Refused, so that another attempt would be in vain."""
    trouble: str | None = None
    due: float = 0.0
    """When to tell it next."""
    _pause_s: float = FIRST_PAUSE_S

    def succeed(self) -> None:
        """The device has confirmed it."""
        self.told, self.trouble = True, None

    def fail(self, now: float, trouble: str, *, final: bool) -> bool:
        """The device has not confirmed it. Return whether that is news."""
        is_news = trouble != self.trouble
        self.trouble, self.final = trouble, final
        self.due = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return is_news


class Device:
    """Told what was heard of it, says what to do. ``now`` is of a clock that never goes back."""

    def __init__(self, address: str, wall: float, settings: Mapping[str, Setting]) -> None:
        self._state = DeviceState(address, present=False, since=wall)
        self._tellings = {cmd: Telling(setting) for cmd, setting in settings.items()}

    @property
    def state(self) -> DeviceState:
        """What is known."""
        return replace(self._state, settings=tuple(map(_state_of, self._in_order())))

    @property
    def address(self) -> str:
        """Its address, as it was added."""
        return self._state.address

    @property
    def present(self) -> bool:
        """Whether it answers."""
        return self._state.present

    @property
    def joined(self) -> int:
        """How often it has come: what was told belongs to one such time."""
        return self._state.joined

    @property
    def commands(self) -> tuple[str, ...]:
        """Those of its settings."""
        return tuple(self._tellings)

    # ---- what was heard

    def join(self, wall: float, latency_s: float, info: Mapping[str, Any] | None) -> None:
        """It answers, and did not before. ``wall`` is the time in seconds since 1970."""
        state = self._state
        self._state = replace(
            state,
            present=True,
            since=wall,
            reason=None,
            info=info or state.info,
            latency_s=latency_s,
            heard=wall,
            joined=state.joined + 1,
        )

    def answered(self, wall: float, latency_s: float) -> None:
        """It still does."""
        self._state = replace(self._state, latency_s=latency_s, heard=wall)

    def described(self, info: Mapping[str, Any]) -> None:
        """It has said what it is."""
        self._state = replace(self._state, info=info)

    def lose(self, wall: float, reason: str) -> bool:
        """It does not answer, or not as it should. Return whether it did before."""
        was_present = self._state.present
        self._state = replace(
            self._state,
            present=False,
            since=wall if was_present else self._state.since,
            reason=reason,
        )
        if was_present:  # it may have been started anew; what it is being told is late
            self._tellings = {cmd: Telling(each.setting) for cmd, each in self._tellings.items()}
        return was_present

    # ---- settings

    def set(self, cmd: str, setting: Setting | None) -> None:
        """From now on it is to be told this, after the others; None: nothing of that command."""
        self._tellings.pop(cmd, None)
        if setting is not None:
            self._tellings[cmd] = Telling(setting)

    def next_telling(self, now: float) -> tuple[Telling | None, float | None]:
        """Return what to tell now; or nothing, and when to ask again: None where news will say."""
        if not self.present:
            return None, None
        # One that waits does not hold up the others, but nobody must begin to save elsewhere.
        save = self._tellings.get(SAVE.name)
        placed = save is None or save.told
        untold = [
            each
            for each in self._in_order()
            if not (each.told or each.final) and (placed or not each.setting.begins_saving)
        ]
        for each in untold:
            if each.due <= now:
                return each, None
        return None, min((each.due for each in untold), default=None)

    def _in_order(self) -> list[Telling]:
        return sorted(self._tellings.values(), key=lambda each: each.setting.begins_saving)


def _state_of(telling: Telling) -> SettingState:
    setting = telling.setting
    return SettingState(setting.cmd, setting.value, telling.told, telling.trouble)
