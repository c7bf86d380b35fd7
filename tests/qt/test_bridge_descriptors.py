"""What a bridge does where its process has no descriptors left: it tells, and goes on trying."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.isolated import Child
from support.machine import WINDOWS
from support.peers import address_of
from support.serving import MakeServer

FOLLOWED = """
import logging, resource, sys, threading
from laplace_server.client import ClientLHC
from laplace_server.client.stream_relay import Relay

logging.getLogger("laplace.client").setLevel(logging.CRITICAL)
enough = resource.getrlimit(resource.RLIMIT_NOFILE)
rung = threading.Semaphore(0)
relay = Relay(
    ClientLHC(sys.argv[1], timeout_s=20), "s", own_client=True, start="oldest", latest_only=False,
    credit_bytes=1 << 20, ring=rung.release,
)
relay.start()
while True:
    delivery = relay.take()
    if delivery is not None:
        for update in delivery.updates:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, enough[1]))
            print(update.data, flush=True)
        if delivery.failure:
            resource.setrlimit(resource.RLIMIT_NOFILE, enough)
            print(delivery.failure, flush=True)
    if not relay.ready():
        rung.acquire()
"""


@pytest.mark.skipif(WINDOWS, reason="has no such limit")
def test_a_connection_that_cannot_be_made_anew_is_tried_again(
    make_server: MakeServer, make_child: Callable[..., Child]
) -> None:
    first = make_server()
    first.publish("s", {"n": 1})
    child = make_child(FOLLOWED, address_of(first))
    assert child.hear() == "{'n': 1}"
    first.stop()
    assert child.hear() == "ZMQError: Too many open files"
    second = make_server(address=address_of(first))
    second.publish("s", {"n": 2})
    assert child.hear() == "{'n': 2}"
