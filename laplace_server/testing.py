"""pytest fixtures for who tests a device program, or a program that talks to devices.

In the ``conftest.py`` beside the tests:

    pytest_plugins = ["laplace_server.testing"]

and in the tests:

    def test_the_stage_moves(make_lhc_client):
        stage = Stage("tcp://127.0.0.1:*")  # the program tested; stage.server is a ServerLHC
        make_lhc_client(stage).set([1.5])
        assert stage.target == 1.5

    def test_the_scan_moves_the_motor(lhc_device, lhc_errors):
        Scan(motor=lhc_device.local_address).step()  # the program tested
        assert lhc_device.server.data["targets"] == [0.1, 0.0]

Servers listen on 127.0.0.1, on a port that the system chooses. What the fixtures make ends with the
test, and the test fails then (an error at its teardown) where a server

- has logged an error, such as a callback that raised: clients get a normal answer then, so that
  nothing else shows it. ``lhc_errors`` has the list; a test that expects errors clears it.
- has ended before the test, without ``may_end=True``;
- does not end, because a callback goes on and on.

A server for a whole module or session: a fixture of one's own with ``with ServerLHC(...)``.

(PYTEST_DONT_REWRITE: there are no assertions here.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from laplace_server.client import ClientLHC
from laplace_server.protocol import DEVICE_MOTOR, LOGGER_NAME
from laplace_server.server.callbacks import text_of
from laplace_server.server.engine import engine_of
from laplace_server.server_lhc import ServerLHC
from laplace_server.sim import SimulatedDevice, make_device
from laplace_server.wire.extras import how_to_install

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "laplace_server.testing needs pytest, which cannot be imported "
        f"({error}). {how_to_install('testing')}",
        name="pytest",
    ) from error

__all__ = [
    "MakeClient",
    "MakeDevice",
    "MakeServer",
    "lhc_client",
    "lhc_device",
    "lhc_errors",
    "lhc_server",
    "make_lhc_client",
    "make_lhc_device",
    "make_lhc_server",
]

MakeServer = Callable[..., ServerLHC]
"""What the fixture ``make_lhc_server`` is, for annotations."""
MakeDevice = Callable[..., SimulatedDevice]
"""What the fixture ``make_lhc_device`` is."""
MakeClient = Callable[..., ClientLHC]
"""What the fixture ``make_lhc_client`` is."""

_ANY_PORT = "tcp://127.0.0.1:*"
_THIS_MACHINE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
_PATIENCE_S = 10.0


@pytest.fixture
def lhc_errors() -> Iterator[list[str]]:
    """The errors that servers of this process have logged during the test, each as a line of text.

    Any server, not only those of the fixtures. The test fails if there are some at its end.
    """
    collector = _Errors()
    logger = logging.getLogger(LOGGER_NAME)
    # First, since a handler that raises keeps the record from those behind it.
    logger.handlers.insert(0, collector)
    yield collector.texts
    logger.removeHandler(collector)
    if collector.texts:
        _fail(
            ["a server logged errors:", *(f"  {text}" for text in collector.texts)],
            "Where they are expected: look at the fixture `lhc_errors`, then `lhc_errors.clear()`.",
        )


@pytest.fixture
def make_lhc_server(lhc_errors: list[str]) -> Iterator[MakeServer]:
    """A function that makes servers: ``make_lhc_server(name="stage", freedom=2)``.

    It takes what ServerLHC takes, with defaults for all of it, and

        start (bool): False leaves that to the test.
        may_end (bool): True where the test ends it, with ``stop()`` or a client's STOP.
        kind: a class derived from ServerLHC.
    """
    servers: list[tuple[ServerLHC, bool]] = []

    def make(
        *,
        start: bool = True,
        may_end: bool = False,
        kind: type[ServerLHC] = ServerLHC,
        **arguments: Any,
    ) -> ServerLHC:
        defaults = {"name": "server", "address": _ANY_PORT, "freedom": 1, "device": DEVICE_MOTOR}
        server = kind(**{**defaults, **arguments})
        servers.append((server, may_end))
        if start:
            server.start()
        return server

    yield make
    faults = [_ended_early(server, "make_lhc_server") for server, may_end in servers if not may_end]
    for server, _ in servers:
        server.stop()
    faults += [_still_running(server) for server, _ in servers]
    _fail(faults)


@pytest.fixture
def lhc_server(make_lhc_server: MakeServer) -> ServerLHC:
    """A running server: a motor named "server" with two axes and data {"positions": [0.0, 0.0]}."""
    return make_lhc_server(freedom=2, data={"positions": [0.0, 0.0]})


@pytest.fixture
def make_lhc_device(lhc_errors: list[str]) -> Iterator[MakeDevice]:
    """A function that makes simulated devices: ``make_lhc_device("CAMERA", rate_hz=100.0)``.

    The kind is one of ``laplace_server.sim.SIMULATED_DEVICES`` or a class derived from
    SimulatedDevice; its options, and ``start`` and ``may_end`` as for ``make_lhc_server``.
    """
    devices: list[tuple[SimulatedDevice, bool]] = []

    def make(
        kind: str | type[SimulatedDevice] = DEVICE_MOTOR,
        *,
        start: bool = True,
        may_end: bool = False,
        **options: Any,
    ) -> SimulatedDevice:
        device = make_device(kind, **options) if isinstance(kind, str) else kind(**options)
        devices.append((device, may_end))
        if start:
            device.start()
        return device

    yield make
    faults = [
        _ended_early(device.server, "make_lhc_device") for device, may_end in devices if not may_end
    ]
    for device, _ in devices:
        device.stop()
    faults += [_still_running(device.server) for device, _ in devices]
    _fail(faults)


@pytest.fixture
def lhc_device(make_lhc_device: MakeDevice) -> SimulatedDevice:
    """A running simulated motor with two axes of 100 mm/s; clients go to its ``local_address``."""
    return make_lhc_device(DEVICE_MOTOR, speed=100.0)


@pytest.fixture
def make_lhc_client() -> Iterator[MakeClient]:
    """A function that makes clients: ``make_lhc_client(server)``.

    Of a ServerLHC, of whatever has one as its ``server`` (a simulated device, a window), or of an
    address. It takes what ClientLHC takes; ``timeout_s`` is 5 s unless told.
    """
    clients: list[ClientLHC] = []

    def make(target: Any, name: str = "test", timeout_s: float = 5.0, **options: Any) -> ClientLHC:
        client = ClientLHC(_address_of(target), name, timeout_s, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def lhc_client(lhc_server: ServerLHC, make_lhc_client: MakeClient) -> ClientLHC:
    """A client of ``lhc_server``."""
    return make_lhc_client(lhc_server)


class _Errors(logging.Handler):
    """Collects what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "addresses":  # of the machine's network, not of the program
            return
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" {text_of(record.exc_info[1])}"
        self.texts.append(text)


def _address_of(target: Any) -> str:
    """Where clients on this machine reach it."""
    if isinstance(target, str):
        return target
    server = target if isinstance(target, ServerLHC) else getattr(target, "server", None)
    if not isinstance(server, ServerLHC):
        raise TypeError(
            "a client is of a ServerLHC, of what has one as its 'server', or of an address, "
            f"not of {type(target).__name__}"
        )
    engine = engine_of(server)  # a derived class may have an 'address' of its own
    host = engine.address.removeprefix("tcp://").rpartition(":")[0]
    return f"tcp://{_THIS_MACHINE.get(host, host)}:{int(engine.server_port)}"


def _ended_early(server: ServerLHC, maker: str) -> str:
    if server.ident is None or server.is_alive():
        return ""
    return (
        f"server {server.name!r} ended before the test did: something stopped it, or a client sent "
        f"STOP. Where that is meant: {maker}(..., may_end=True)."
    )


def _still_running(server: ServerLHC) -> str:
    if server.ident is None:
        return ""
    server.join(_PATIENCE_S)
    if not server.is_alive():
        return ""
    return (
        f"server {server.name!r} was stopped, but a callback still runs {_PATIENCE_S:g} s later; "
        "the captured log names it."
    )


def _fail(faults: list[str], advice: str = "") -> None:
    text = "\n".join(filter(None, [*faults, advice]))
    if text:
        pytest.fail(f"laplace_server.testing: {text}", pytrace=False)
