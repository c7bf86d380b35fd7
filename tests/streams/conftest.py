"""A server with a stream, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server()
    server.declare_stream("s")
    return server


@pytest.fixture
def client(server: ServerLHC) -> Iterator[ClientLHC]:
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        yield client
