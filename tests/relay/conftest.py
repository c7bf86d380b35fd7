"""Brokers, and relays that are stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.nats import Broker
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.relay import NatsRelay

MakeBroker = Callable[..., Broker]
MakeRelay = Callable[..., NatsRelay]


@pytest.fixture
def make_broker(nothing_left_behind: None, tmp_path: Path) -> Iterator[MakeBroker]:
    """Make brokers with stores of their own; all are ended."""
    brokers: list[Broker] = []

    def make(name: str = "n1", *, start: bool = True, **options: Any) -> Broker:
        broker = Broker(tmp_path / name, **options)
        brokers.append(broker)
        if start:
            broker.start()
        return broker

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def broker(make_broker: MakeBroker) -> Broker:
    return make_broker()


@pytest.fixture
def make_relay(nothing_left_behind: None) -> Iterator[MakeRelay]:
    """Make relays and start them; all are stopped."""
    relays: list[NatsRelay] = []

    def make(*arguments: Any, start: bool = True, **options: Any) -> NatsRelay:
        relay = NatsRelay(*arguments, **options)
        relays.append(relay)
        if start:
            relay.start()
        return relay

    yield make
    for relay in relays:
        relay.stop()
        assert not relay.is_alive()


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    return make_server(name="camera", device="CAMERA")
