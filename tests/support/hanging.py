"""Devices that do not answer, each in its way; what is given is the address to ask."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from support.machine import LINUX, WINDOWS
from support.name_service import NameService
from support.peers import address_of
from support.ports import own_address
from support.raw_listeners import RawListener
from support.served_apart import ServedApart
from support.serving import Gate, serving
from support.standstill import go_on, stand_still

from laplace_server.sim import SimulatedMotor


@contextlib.contextmanager
def _nobody() -> Iterator[str]:
    yield own_address()


@contextlib.contextmanager
def _nowhere() -> Iterator[str]:
    """As an address behind which there is no machine: nothing comes back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(3):  # what is one too many is not answered
                other = stack.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(listener.getsockname())
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def _silent() -> Iterator[str]:
    with RawListener() as listener:
        yield f"tcp://127.0.0.1:{listener.port}"


@contextlib.contextmanager
def _no_name_service() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        names = NameService(patch)
        names.hold()
        try:
            yield "tcp://stage.lab:5555"
        finally:
            names.let_go()


@contextlib.contextmanager
def _stopped() -> Iterator[str]:
    with ServedApart() as server:
        stand_still(server.process.pid)
        try:
            yield server.address
        finally:
            go_on(server.process.pid)


@contextlib.contextmanager
def _in_a_callback() -> Iterator[str]:
    gate = Gate()
    with serving() as server:
        server.set_on_position_changed(gate)
        server.set_on_get(gate)
        try:
            yield address_of(server)
        finally:
            gate.open()


@contextlib.contextmanager
def _moving() -> Iterator[str]:
    with SimulatedMotor(speed=0.01) as motor:
        yield address_of(motor.server)


Hanging = Callable[[], contextlib.AbstractContextManager[str]]

WAYS: dict[str, Hanging] = {
    "nobody": _nobody,
    "silent": _silent,
    "no name service": _no_name_service,
    "in a callback": _in_a_callback,
    "moving": _moving,
}
if LINUX:
    WAYS["nowhere"] = _nowhere
if not WINDOWS:
    WAYS["stopped"] = _stopped
