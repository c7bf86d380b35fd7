"""Many devices followed at once: who is there, and what all of them are told.

    with Fleet(["tcp://192.168.1.20:5555", "tcp://192.168.1.21:5555"]) as fleet:
        fleet.set_on_lost(lambda device: print(device.name, "is gone:", device.reason))
        fleet.save("/data/2026-11-27")  # also told to whoever comes later, or comes back
        print(fleet.wait(5.0) or "all are there and know where to save")

``Fleet`` is for threads, ``AsyncFleet`` for asyncio, ``laplace_server.qt.FleetBridge`` for windows.
They follow any server with protocol version 0.2.2.
"""

from __future__ import annotations

from laplace_server.fleet.async_fleet import AsyncFleet
from laplace_server.fleet.state import DeviceState, SettingState
from laplace_server.fleet.thread_fleet import Fleet

__all__ = ["AsyncFleet", "DeviceState", "Fleet", "SettingState"]
