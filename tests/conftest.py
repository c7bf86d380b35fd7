"""Servers and clients for tests, and a look at what each test leaves behind."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from support import event_loop, ports
from support.both_clients import KINDS, Kind
from support.event_loop import LOOPS
from support.isolated import Child
from support.machine import OWN_THREADS, SLOWNESS, descriptors, native_threads, within
from support.native_build import Builder
from support.parallel import (  # noqa: F401
    pytest_configure,
    pytest_configure_node,
    pytest_report_to_serializable,
    pytest_runtest_protocol,
    pytest_unconfigure,
    pytest_xdist_make_scheduler,
    sort_for_processes,
)
from support.peers import Connect, Peer, address_of
from support.serving import MakeServer
from support.transports import (  # noqa: F401
    pytest_addoption,
    pytest_generate_tests,
    transport,
)
from support.waiting import LIMIT_S, eventually

from laplace_server import ServerLHC


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test as much more time as the machine needs, and its place."""
    sort_for_processes(config, items)
    if SLOWNESS == 1:
        return
    seconds = within(float(config.getini("timeout")))
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(seconds))


def pytest_collection_finish() -> None:
    """Nobody looks again and again through what thousands of tests and their modules are made of.

    A full collection takes 0.2 s otherwise, and Python, and tests, ask for hundreds.
    """
    gc.collect()
    gc.freeze()


class Resources:
    """What a test must give back: Python threads, native threads, file descriptors.

    Each open ZeroMQ socket and context holds descriptors, so these show the ones left open.
    """

    def __init__(self) -> None:
        # Python keeps a dummy for each foreign thread that asked who it is, even a dead one.
        dummy = threading._DummyThread  # type: ignore[attr-defined]
        self.threads = {each for each in threading.enumerate() if not isinstance(each, dummy)}
        self.native_threads = native_threads()
        self.descriptors = descriptors()

    def left_over(self, before: Resources) -> str:
        faults = []
        names = sorted(thread.name for thread in self.threads - before.threads)
        if names:
            faults.append(f"threads {names}")
        elif self.native_threads > before.native_threads + OWN_THREADS:
            faults.append(f"native threads {before.native_threads} -> {self.native_threads}")
        if self.descriptors > before.descriptors:
            faults.append(f"file descriptors {before.descriptors} -> {self.descriptors}")
        return ", ".join(faults)


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_works() -> None:
    """Shells start what runs in the background with SIGINT ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def enough_descriptors() -> None:
    """macOS gives a process 256: fewer than twenty servers and their clients need."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of pytest-xdist have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def builder(shared_folder: Path) -> Builder:
    """Builds C++ programs, of objects that all tests share."""
    folder = shared_folder / "objects"
    folder.mkdir(exist_ok=True)
    return Builder(folder)


@pytest.fixture(scope="session", autouse=True)
def shared_context() -> None:
    """pyzmq's shared context, for clients that use it: its threads are no test's leftovers.

    Nor is what some systems keep from the first look-up of a name on.
    """
    zmq.Context.instance().socket(zmq.REQ).close()
    with contextlib.suppress(OSError):
        socket.getaddrinfo("localhost", None)


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves threads or sockets; those of wider fixtures were there before."""
    before = Resources()
    yield
    ports.release()
    left = Resources().left_over(before)
    if not left:
        return
    gc.collect()
    deadline = time.monotonic() + LIMIT_S
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left = Resources().left_over(before)
    if left:
        pytest.fail(f"left behind: {left}", pytrace=False)


@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs in loops that watch descriptors, and in those that do not."""
    monkeypatch.setattr(event_loop, "factory", LOOPS[request.param])


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., bool]:
    return eventually


@pytest.fixture
def make_server(nothing_left_behind: None) -> Iterator[MakeServer]:
    """Make servers, started unless told otherwise, on ports of their own; all are stopped.

    The ports stay the test's own to its end, so that a server may be started again where one was.

    Where the machine stands still for a moment, a refresh of live data comes late, but it comes:
    unless a test says otherwise, a read waits for it.
    """
    servers: list[ServerLHC] = []

    def make(*, start: bool = True, kind: type[ServerLHC] = ServerLHC, **arguments: Any) -> Any:
        given = {
            "name": "tested",
            "address": ports.own_address(),
            "freedom": 1,
            "device": "MOTOR",
            "refresh_timeout_ms": 5000,
            **arguments,
        }
        server = kind(**given)
        servers.append(server)
        if start:
            server.start()
        return server

    yield make
    for server in servers:
        server.stop()
    for server in servers:
        if server.ident is not None:
            server.join(LIMIT_S)
            assert not server.is_alive()


@pytest.fixture
def context(nothing_left_behind: None) -> Iterator[zmq.Context[Any]]:
    """A pyzmq context whose sockets need not be closed by the test."""
    made: zmq.Context[Any] = zmq.Context()
    made.linger = 0
    yield made
    # In a thread: with a socket that cannot be closed, the test fails instead of hanging.
    end = threading.Thread(target=made.destroy, kwargs={"linger": 0}, daemon=True)
    end.start()
    end.join(LIMIT_S)
    assert not end.is_alive(), "the context does not end: some socket is still in use"


@pytest.fixture
def connect(context: zmq.Context[Any]) -> Iterator[Connect]:
    """Make clients of a server: ``connect(server)``, or a DEALER with ``kind=zmq.DEALER``."""
    clients: list[Peer] = []

    def make(server: ServerLHC, kind: int = zmq.REQ) -> Peer:
        client = Peer(address_of(server), kind, context=context)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of client: it is called as ClientLHC is, and what it returns is used as one."""
    return KINDS[request.param]


@pytest.fixture(
    params=[("sync", "watching"), ("asyncio", "watching"), ("asyncio", "transports")], ids=" ".join
)
def kind_in_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """The same, and that of asyncio in each kind of loop."""
    name, loop = request.param
    monkeypatch.setattr(event_loop, "factory", LOOPS[loop])
    return KINDS[name]


@pytest.fixture
def make_child(nothing_left_behind: None) -> Iterator[Callable[..., Child]]:
    """Start scripts in other processes, ended with the test."""
    children: list[Child] = []

    def make(script: str, *arguments: str) -> Child:
        child = Child(script, *arguments)
        children.append(child)
        return child

    yield make
    for child in children:
        child.close()
