"""What a fleet knows of a device: values that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SettingState:
    """Something that a device is told, and is told again when it comes back."""

    cmd: str
    value: Any
    """What it is told: the path of SAVE, the payload of a command of one's own. Not to be changed.
    """
    told: bool
    """Whether the device has confirmed it since it joined last."""
    trouble: str | None
    """Why it has not, as far as is known."""


@dataclass(frozen=True)
class DeviceState:
    """A device at one moment."""

    address: str
    present: bool
    """Whether it answers."""
    since: float
    """When it joined or was lost, or was added; seconds since 1970."""
    reason: str | None = None
    """Why it is not there; None while it is, and before its first look is over."""
    info: Mapping[str, Any] | None = None
    """What it said last of itself, also of one that is lost; None: nothing yet. Not to be changed.
    """
    latency_s: float | None = None
    """Round trip of the last PING that was answered, in seconds."""
    heard: float | None = None
    """When it answered last; seconds since 1970."""
    joined: int = 0
    """How often it has come: 1, and one more each time that it came back."""
    settings: tuple[SettingState, ...] = ()
    """What it is told, in the order in which it is told."""

    @property
    def name(self) -> str:
        """What the device calls itself; its address where that is not known."""
        name = None if self.info is None else self.info.get("name")
        return name if isinstance(name, str) and name else self.address

    @property
    def missing(self) -> str | None:
        """Why it is not ready: it is not there, or has not confirmed a setting; None: it is."""
        if not self.present:
            return self.reason or "it has not answered yet"
        for setting in self.settings:
            if not setting.told:
                return f"{setting.cmd}: {setting.trouble or 'it is being told'}"
        return None
