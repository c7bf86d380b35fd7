"""Devices with a stream of shots, and clients of them of both kinds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.both_clients import Kind, gather_blocking
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer

from laplace_server import ServerLHC


class Devices:
    """Servers by name, each with a stream "s", and clients of them."""

    def __init__(self, make_server: MakeServer, kind: Kind, clients: contextlib.ExitStack) -> None:
        self._make_server = make_server
        self._kind = kind
        self._clients = clients
        self.servers: dict[str, ServerLHC] = {}
        self.sources: dict[str, tuple[Any, str]] = {}

    def add(self, *names: str) -> None:
        for name in names:
            server = self._make_server(name=name)
            server.declare_stream("s")
            self.servers[name] = server
            client = self._kind(address_of(server), timeout_s=PATIENCE_S)
            self.sources[name] = (self._clients.enter_context(client), "s")

    def publish(self, names: str, *keys: Any, **data: Any) -> None:
        """Shots of these keys; each name is a letter."""
        for key in keys:
            for name in names:
                self.servers[name].publish("s", {"shot": key, **data})

    def stop(self, name: str) -> None:
        self.servers[name].stop()

    def restart(self, name: str) -> None:
        address = self.servers[name].address
        self.servers[name].stop()
        self.servers[name] = self._make_server(name=name, address=address)
        self.servers[name].declare_stream("s")


@pytest.fixture
def devices(make_server: MakeServer, kind: Kind) -> Iterator[Devices]:
    with contextlib.ExitStack() as clients:
        yield Devices(make_server, kind, clients)


@pytest.fixture
def gathering(devices: Devices) -> Iterator[Callable[..., Any]]:
    """``gathering(wait_s=)``: of all devices; closed at the end."""
    with contextlib.ExitStack() as gatherings:

        def begin(**options: Any) -> Any:
            options.setdefault("wait_s", PATIENCE_S)
            gathered = gather_blocking(devices.sources, "shot", **options)
            gatherings.callback(gathered.close)
            return gathered

        yield begin
