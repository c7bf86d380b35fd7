"""What clients are given, and the errors that they raise."""

from __future__ import annotations

import errno
import math
import pickle
from typing import Any

import pytest
import zmq
from support.both_clients import Kind
from support.machine import have_ipv6
from support.peers import PATIENCE_S, address_of
from support.ports import own_address
from support.scripted_server import ScriptedServer, answering, echo
from support.serving import serving

from laplace_server import errors
from laplace_server.stream import Update

# -- arguments


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:5555",
        "tcp://",
        "tcp://localhost",
        "tcp://localhost:",
        "tcp://localhost:*",
        "tcp://*:5555",
        "tcp://localhost:0",
        "tcp://localhost:65536",
        "tcp://localhost:5555/",
        "tcp://local host:5555",
        " tcp://localhost:5555",
        "tcp://localhost:5555\n",
        "tcp://::1:5555",
        "tcp://[:::::]:5555",
        "tcp://[1:2]:5555",
        "tcp://[127.0.0]:5555",
        "tcp://[::1::%1]:5555",
        "ipc://socket",
        "tcp://localhost:" + "9" * 5000,
    ],
)
def test_wrong_addresses(kind: Kind, address: str) -> None:
    with pytest.raises(ValueError, match="tcp://host:port"):
        kind(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://localhost:5555", "tcp://127.0.0.1:0089", "tcp://lab-pc_2.local:1", "tcp://[::1]:65535"],
)
def test_right_addresses(kind: Kind, address: str) -> None:
    with kind(address) as client:
        assert client.address == address


def test_wrong_arguments(kind: Kind, client: Any) -> None:
    with pytest.raises(TypeError, match="address"):
        kind(5555)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name"):
        kind("tcp://localhost:5555", name=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name"):
        kind("tcp://localhost:5555", name="")
    with pytest.raises(TypeError, match="cmd"):
        client.request(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cmd"):
        client.request("")
    with pytest.raises(TypeError, match="payload"):
        client.request("SET", [1])  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_wrong_timeouts(kind: Kind, client: Any, seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        kind("tcp://localhost:5555", timeout_s=seconds)
    with pytest.raises(ValueError, match="timeout_s"):
        client.get(timeout_s=seconds)
    with pytest.raises(TypeError, match="timeout_s"):
        client.get(timeout_s="soon")  # type: ignore[arg-type]
    assert client.get() == {"x": 1.5}


@pytest.mark.parametrize(
    ("start", "error"),
    [(each, ValueError) for each in ("foo", "", 0, 1 << 63, ["oldest"], (), (1, 2, 3))]
    + [(each, ValueError) for each in ((0, 1), (1 << 64, 1), (1, -1), (1, (1 << 63) - 1))]
    + [(each, TypeError) for each in (1.5, True, None, b"ab", {1, 2}, (1, 2.0), (None, 1))],
)
def test_where_a_subscription_begins(kind: Kind, start: Any, error: type[Exception]) -> None:
    """It is told at once, where there is no server either."""
    with kind(own_address()) as client:
        with pytest.raises(error, match=r"'start(\[[01]\])?' must be "):
            client.subscribe("s", start=start)


def test_an_update_is_no_start_but_says_which_is(kind: Kind) -> None:
    update = Update(3, 7, 1.5, {}, 0)
    with kind(own_address()) as client:
        with pytest.raises(ValueError, match=r"as update\.following gives it, not 5 items"):
            client.subscribe("s", start=update)
    assert update.following == (7, 3)


@pytest.mark.parametrize(("name", "error"), [("", ValueError), (3, TypeError)])
def test_wrong_names_of_subscribers(kind: Kind, name: Any, error: type[Exception]) -> None:
    with kind(own_address()) as client:
        with pytest.raises(error, match="'name' must"):
            client.subscribe("s", name=name)


def test_a_wait_for_an_update_is_a_number_of_seconds(kind: Kind) -> None:
    with serving() as server, kind(address_of(server), timeout_s=PATIENCE_S) as client:
        server.declare_stream("s")
        with client.subscribe("s") as updates:
            with pytest.raises(TypeError, match="'timeout' must be a number of seconds or None"):
                updates.next(timeout="soon")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="'timeout' must be a number of seconds or None"):
                updates.next(timeout=math.nan)
            with pytest.raises(ValueError, match="'timeout' must be a number of seconds or None"):
                updates.next(timeout=10**400)
            with pytest.raises(ValueError, match="'timeout' must be a number of seconds or None"):
                updates.take(timeout=math.nan)
            server.publish("s", {"n": 1})
            assert updates.next(timeout=PATIENCE_S).data == {"n": 1}


@pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")
def test_ipv6(kind: Kind) -> None:
    with (
        ScriptedServer(answering(echo), "tcp://[::1]:*") as server,
        kind(server.address, timeout_s=PATIENCE_S) as client,
    ):
        assert client.request("ECHO", {"n": 6}) == {"n": 6}


@pytest.mark.skipif(not have_ipv6(), reason="this machine has no IPv6")
def test_an_interface_that_is_not_there_is_told(kind: Kind) -> None:
    with kind("tcp://[fe80::1%nowhere]:5555") as client:
        for use in (client.get, client.subscribe):
            with pytest.raises(zmq.ZMQError) as caught:
                use()
            assert caught.value.errno in (errno.ENODEV, errno.ENXIO)


@pytest.mark.parametrize(
    "error",
    [
        errors.LaplaceError("text"),
        errors.RequestTimeout("GET", "tcp://a:1", 2.0),
        errors.RequestTimeout("GET", "tcp://a:1", 2.0, "nobody listens there"),
        errors.RemoteError("text", "GET", "tcp://a:1"),
        errors.NotPermitted("text", "GET", "tcp://a:1"),
        errors.OutsideLimits("text", "SET", "tcp://a:1"),
        errors.Busy("text", "SET", "tcp://a:1"),
        errors.VersionMismatch("text", "GET", "tcp://a:1"),
        errors.InvalidReply("text", "GET", "tcp://a:1"),
        errors.ClientClosed("text"),
        errors.ForkedServerError("text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error: errors.LaplaceError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert isinstance(copy, errors.LaplaceError)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
