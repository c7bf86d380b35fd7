"""The application, and bridges to a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.controller import KEYS, PAIRS
from support.peers import PATIENCE_S, Connect, address_of
from support.qt import HAVE_PYQT6, spin
from support.serving import MakeServer

from laplace_server import ServerLHC

if HAVE_PYQT6:
    from PyQt6 import sip
    from PyQt6.QtWidgets import QApplication

    from laplace_server.qt import ClientBridge, StreamBridge
    from laplace_server.server_controller import ServerController

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def app() -> QApplication:
    instance = QApplication.instance()
    return instance if isinstance(instance, QApplication) else QApplication(["tests"])


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server()
    server.declare_stream("s")
    return server


@pytest.fixture
def make_bridge(app: QApplication, nothing_left_behind: None) -> Any:
    """Make bridges, started and connected unless told otherwise; all are stopped."""
    bridges: list[StreamBridge] = []

    def make(source: Any, stream: str = "s", *, begin: bool = True, **arguments: Any) -> Any:
        bridge = StreamBridge(
            address_of(source) if isinstance(source, ServerLHC) else source, stream, **arguments
        )
        bridges.append(bridge)
        if begin:
            bridge.start()
            spin(lambda: bridge.connected)
        return bridge

    yield make
    for bridge in bridges:
        if not sip.isdeleted(bridge):
            bridge.stop()
            sip.delete(bridge)


@pytest.fixture
def make_caller(app: QApplication, nothing_left_behind: None) -> Any:
    """Make ClientBridges, to a server or an address; all are closed and deleted."""
    bridges: list[ClientBridge] = []

    def make(server: Any, **arguments: Any) -> Any:
        address = server if isinstance(server, str) else address_of(server)
        bridge = ClientBridge(address, **{"timeout_s": PATIENCE_S, **arguments})
        bridges.append(bridge)
        return bridge

    yield make
    for bridge in bridges:
        if not sip.isdeleted(bridge):
            bridge.close()
            sip.delete(bridge)


@pytest.fixture
def controller(app: QApplication) -> ServerController:
    return ServerController()


@pytest.fixture
def controlled(controller: ServerController, make_server: MakeServer) -> ServerLHC:
    """A running server with every callback set to the controller's slot."""
    server = make_server(start=False, data={"x": 1})
    for _, _, setter, slot, _ in PAIRS:
        getattr(server, setter)(getattr(controller, slot))
    server.start()
    return server


@pytest.fixture
def ask(controlled: ServerLHC, connect: Connect) -> Ask:
    """Send a command with its value; the reply, which must be no error."""
    client = connect(controlled)

    def send(cmd: str, value: Any = None) -> Any:
        reply = client.ask(cmd, {KEYS[cmd]: value} if KEYS.get(cmd) else {})
        assert reply["error_msg"] is None
        return reply

    return send
