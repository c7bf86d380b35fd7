"""A server, and clients of both kinds."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from support.both_clients import Kind
from support.name_service import NameService
from support.peers import PATIENCE_S, address_of
from support.scripted_server import JsonAnswer, ScriptedServer, answering

from laplace_server import ServerLHC


@pytest.fixture
def server(make_server: Any) -> ServerLHC:
    server: ServerLHC = make_server(data={"x": 1.5})
    server.declare_stream("s")
    return server


@pytest.fixture
def client(kind: Kind, server: ServerLHC) -> Iterator[Any]:
    with kind(address_of(server), name="asker", timeout_s=PATIENCE_S) as connected:
        yield connected


@pytest.fixture
def talking(kind: Kind) -> Any:
    """``talking(answer)``: a scripted server for a block, and a client of it."""

    @contextlib.contextmanager
    def begin(answer: JsonAnswer) -> Iterator[tuple[ScriptedServer, Any]]:
        with ScriptedServer(answering(answer)) as server:
            with kind(server.address, timeout_s=PATIENCE_S) as client:
                yield server, client

    return begin


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameService]:
    service = NameService(monkeypatch)
    yield service
    service.let_go()


@pytest.fixture
def refused() -> Iterator[int]:
    """A port where nobody listens, and nobody else will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
