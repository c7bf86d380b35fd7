"""The compiled core by itself: who holds a server."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import zmq
from support.waiting import wait_until

from laplace_server.server import _core
from laplace_server.server.binding import LIMITS

pytestmark = pytest.mark.transports()


def make_core(address: str = "tcp://127.0.0.1:*") -> _core.Core:
    return _core.Core(
        address=address.encode(),
        epoch=1,
        transport=_core.TransportKind.LIBZMQ,
        max_message_bytes=-1,
        max_message_frames=256,
        max_waiting_bytes=16 << 20,
        max_connections=100,
        max_connections_per_address=0,
        max_subscriptions_per_connection=256,
        handshake_timeout_ms=10_000,
        anonymous=True,
        refresh_timeout_ms=100,
        spin_us=0,
        real_time=False,
        limits=dict(LIMITS),
    )


HOLDERS: list[Callable[[_core.Core], Any]] = [
    lambda core: core,
    lambda core: core.documents,
    lambda core: core.streams,
    lambda core: core.jobs,
]


def is_free(address: str) -> bool:
    try:
        make_core(address).request_stop()
    except zmq.ZMQError:
        return False
    return True


@pytest.mark.parametrize("started", [False, True], ids=["bound", "started"])
@pytest.mark.parametrize("holder", HOLDERS, ids=["core", "documents", "streams", "jobs"])
def test_a_server_lives_as_long_as_something_of_it_is_held(
    holder: Callable[[_core.Core], Any], started: bool
) -> None:
    core = make_core()
    address = core.endpoint()
    if started:
        core.start()
    held = holder(core)
    del core
    gc.collect()
    assert not is_free(address)
    del held
    wait_until(lambda: is_free(address), "the port is free")


def test_without_a_server_nothing_can_be_used() -> None:
    nobody = _core.ServerRef()
    streams = _core.Streams(nobody)
    documents = _core.Documents(nobody, streams)
    jobs = _core.Jobs(nobody, documents, streams)
    for use in (
        lambda: streams.range_of("s"),
        lambda: streams.publish("s", {}, None, True, 0),
        lambda: streams.declare("s", 1, 1, None, False, 1),
        lambda: streams.finish("s", 0, True),
        streams.ledgers,
        lambda: documents.set_data({}),
        lambda: documents.set_data_copy({}),
        documents.read_data,
        documents.settle,
        documents.wait_refresh,
        jobs.next,
        jobs.take_log,
        lambda: jobs.finish(1, b"", 0, 0),
    ):
        with pytest.raises((RuntimeError, KeyError)):
            use()
