"""The devices of a fleet, followed in one event loop; what all kinds of fleet have in common."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from laplace_server.client.keys import client_keys
from laplace_server.client.program_name import program_name
from laplace_server.client.requests import check_address, checked_name, seconds_of
from laplace_server.fleet.device import Device
from laplace_server.fleet.follower import Follower
from laplace_server.fleet.notices import Notice, Notices
from laplace_server.fleet.settings import Setting
from laplace_server.fleet.state import DeviceState

if TYPE_CHECKING:
    from laplace_server.security import ClientSecurity

    FindSecurity = Callable[[str], ClientSecurity | None]


class Following:
    """Used by one thread at a time: from ``start`` to ``close`` by that of the event loop.

    Args:
        addresses, name, period_s, timeout_s, security: as for Fleet.
        ring: called where ``notices`` has news, in the thread of the event loop.
    """

    def __init__(
        self,
        addresses: Iterable[str],
        name: str | None,
        period_s: float,
        timeout_s: float,
        security: FindSecurity | None,
        ring: Callable[[], object],
    ) -> None:
        if isinstance(addresses, str):
            raise TypeError("'addresses' must be several: [address] for one.")
        if security is not None and not callable(security):
            raise TypeError(
                "'security' must be a function from address to ClientSecurity, such as "
                f"ClientSecurity.find, or None, not {type(security).__name__}."
            )
        self._name = program_name() if name is None else checked_name(name)
        self._period_s = seconds_of(period_s, "period_s")
        self._timeout_s = seconds_of(timeout_s)
        self._security = security
        self.notices = Notices(ring)
        self.running = False
        self._devices: dict[str, Device] = {}
        self._securities: dict[str, ClientSecurity | None] = {}
        self._followers: dict[str, Follower] = {}
        self._ends: set[asyncio.Task[None]] = set()
        self._for_all: dict[str, Setting] = {}
        self._waiters: set[asyncio.Future[None]] = set()
        for address in addresses:
            self.add(address, self.security_of(address, None))

    # ---- its devices

    def states(self) -> dict[str, DeviceState]:
        """Return what is known of all, by address, in the order they were added."""
        return {device.address: device.state for device in self._devices.values()}

    def state(self, address: str) -> DeviceState:
        """Return what is known of one; raise KeyError where it is not in the fleet."""
        return self._devices[self._place_of(address)].state

    def has(self, address: object) -> bool:
        """Say whether it is in the fleet; nothing that is no address is."""
        try:
            check_address(address)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False
        return _place(str(address)) in self._devices

    def security_of(self, address: str, security: ClientSecurity | None) -> ClientSecurity | None:
        """Return the keys for an address, which the program knows where none are given.

        It is asked in the thread that calls this, any one: it may take its time.
        """
        check_address(address)
        if security is None and self._security is not None:
            security = self._security(address)
        client_keys(security)  # it checks them
        return security

    def add(self, address: str, security: ClientSecurity | None) -> None:
        """Add a device, with its keys."""
        check_address(address)
        place = _place(address)
        if place in self._devices:
            raise ValueError(
                f"{address} is in the fleet already, as {self._devices[place].address}."
            )
        self._devices[place] = Device(str.__str__(address), time.time(), self._for_all)
        self._securities[place] = security
        if self.running:
            self._follow(place)

    def remove(self, address: str) -> None:
        """Remove one; raise KeyError where it is not in the fleet."""
        place = self._place_of(address)
        device = self._devices.pop(place)
        del self._securities[place]
        self.notices.drop(device.address)
        follower = self._followers.pop(place, None)
        if follower is not None:
            follower.cancel()
            end = asyncio.get_running_loop().create_task(follower.close())
            self._ends.add(end)
            end.add_done_callback(self._ends.discard)
        self._on_change(None)

    def change(self, cmd: str, setting: Setting | None, only: Collection[str] | None) -> None:
        """Set or forget a setting; raise KeyError where there is no such device or setting."""
        if isinstance(only, str):
            raise TypeError("'only' must be several addresses: [address] for one.")
        places = list(self._devices) if only is None else list(map(self._place_of, only))
        if setting is None:
            self._check_is_told(cmd, places, only is None)
        if only is None:
            self._for_all.pop(cmd, None)
            if setting is not None:
                self._for_all[cmd] = setting
        for place in places:
            self._devices[place].set(cmd, setting)
            if place in self._followers:
                self._followers[place].wake()
        self._on_change(None)

    def missing(self) -> dict[str, str]:
        """Return who is not there or has not confirmed a setting, and why."""
        missing = {device.address: device.state.missing for device in self._devices.values()}
        return {address: why for address, why in missing.items() if why is not None}

    async def wait(self, timeout_s: float) -> dict[str, str]:
        """Wait until nobody is missing, or the time is over, or the fleet is closed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (missing := self.missing()) and self.running and loop.time() < deadline:
            waiter: asyncio.Future[None] = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=deadline - loop.time())
            finally:
                self._waiters.discard(waiter)
        return missing

    # ---- life

    def start(self) -> None:
        """Begin, in the event loop that runs."""
        self.running = True
        for place in self._devices:
            self._follow(place)

    async def close(self) -> None:
        """End, for good."""
        self.running = False
        self.notices.drop()
        followers, self._followers = self._followers, {}
        for follower in followers.values():
            follower.cancel()
        for device in self._devices.values():
            device.lose(time.time(), "the fleet is closed")
        self._wake_waiters()
        await asyncio.gather(*(each.close() for each in followers.values()), *self._ends)

    def _follow(self, place: str) -> None:
        device, security = self._devices[place], self._securities[place]
        follower = self._followers[place] = Follower(
            device, self._name, self._period_s, self._timeout_s, security, self._on_change
        )
        follower.start()

    def _on_change(self, notice: Notice | None) -> None:
        if not self.running:
            return
        self._wake_waiters()
        if notice is not None:
            self.notices.put(notice)

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _check_is_told(self, cmd: str, places: Iterable[str], to_all: bool) -> None:
        """Raise KeyError where none of these devices is told a setting."""
        told = set(self._for_all) if to_all else set()
        told.update(*(self._devices[place].commands for place in places))
        if cmd not in told:
            there = ", ".join(map(repr, sorted(told))) or "nothing"
            raise KeyError(f"{cmd!r} is not told; what is: {there}.")

    def _place_of(self, address: str) -> str:
        check_address(address)
        place = _place(address)
        if place not in self._devices:
            raise KeyError(f"{address} is not in the fleet.")
        return place


def _place(address: str) -> str:
    """Return the same text for two ways of writing one address."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if host.startswith("["):
        host = str(ipaddress.ip_address(host[1:-1]))
    return f"{host.lower()}:{int(port)}"
