"""What clients are told where the server refuses what they send, or their connection."""

from __future__ import annotations

from typing import Any

import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, Peer, address_of
from support.scripted_server import ScriptedServer, answering, reply_to
from support.serving import MakeServer
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RemoteError, RequestTimeout
from laplace_server.stats import Refusal
from laplace_server.wire import limits

pytestmark = pytest.mark.transports("tcp")

LIMIT = 100_000


@pytest.fixture
def server(make_server: MakeServer) -> ServerLHC:
    server = make_server(data={"x": 1}, max_message_bytes=LIMIT)
    server.declare_stream("s")
    return server


@pytest.mark.parametrize("size", [LIMIT, 32 << 20], ids=["a little", "much"])
def test_a_request_too_large(server: ServerLHC, client: Any, size: int) -> None:
    """The server says so, and closes the connection: the next request takes another at once."""
    text = f"Request too large: the server takes {LIMIT} bytes (max_message_bytes)."
    for count in range(1, 20 if size == LIMIT else 3):
        with pytest.raises(RemoteError) as raised:
            client.request("OPT", {"data": "x" * size})
        assert (str(raised.value), raised.value.cmd) == (text, "OPT")
        assert client.get() == {"x": 1}
        assert server.stats().refused[Refusal.MESSAGE_SIZE] == count


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (limits.too_large(1 << 60), True),
        (limits.too_many_frames(1 << 30), True),
        ("Unknown command", False),
        (limits.too_large(1) + "x" * 10_000, False),
    ],
)
def test_which_connections_are_not_used_again(kind: Kind, text: str, ends: bool) -> None:
    """As few as need be: others answer errors, too."""

    with ScriptedServer(answering(lambda asked: [reply_to(asked, error_msg=text)])) as server:
        with kind(server.address, timeout_s=PATIENCE_S) as client:
            for _ in range(3):
                with pytest.raises(RemoteError):
                    client.ping()
        assert server.connections() == (3 if ends else 1)


def test_a_subscription_stays_when_a_request_is_refused(server: ServerLHC, client: Any) -> None:
    with client.subscribe("s", timeout_s=PATIENCE_S) as subscription:
        server.publish("s", {"n": 1})
        assert subscription.next().data == {"n": 1}
        with pytest.raises(RemoteError, match="max_message_bytes"):
            client.request("OPT", {"data": "x" * LIMIT})
        server.publish("s", {"n": 2})
        assert subscription.next().data == {"n": 2}
        assert subscription.lost == 0


def test_a_server_that_has_all_the_connections_it_takes(
    kind: Kind, make_server: MakeServer
) -> None:
    server = make_server(data={"x": 1}, max_connections=1)
    with Peer(server) as peer:
        peer.ask("PING")
        with kind(address_of(server), timeout_s=1) as client:
            with pytest.raises(TimeoutError):
                client.get()
        with kind(address_of(server), timeout_s=PATIENCE_S) as client:
            refused = server.stats().refused[Refusal.CONNECTIONS]
            assert refused > 0
            peer.close()
            assert client.get() == {"x": 1}
    wait_until(lambda: server.stats().connections == 0, "all have gone")


def test_who_finds_no_connection_left_is_told(
    kind: Kind, make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    why = (
        "the server closed the connection before the handshake was over; "
        "it may just have ended, have as many connections as it allows (max_connections), "
        "or serve only clients with a key"
    )
    server = make_server(data={"x": 1}, max_connections=1)
    with Peer(server) as peer, kind(address_of(server), timeout_s=0.5) as client:
        peer.ask("PING")
        with pytest.raises(RequestTimeout) as caught:
            client.get()
        assert caught.value.reason == why
        with pytest.raises(RequestTimeout) as caught:
            client.subscribe("s", timeout_s=0.5)
        assert caught.value.reason == why
        client.subscribe("s").close()
        assert f"is not followed yet, and waited for: {why}" in caplog.text
