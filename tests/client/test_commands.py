"""Each request of both clients, against the real server."""

from __future__ import annotations

import math
import pathlib
import time
from typing import Any

import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.serving import serving

from laplace_server import ServerLHC, errors

# -- commands against the real server


def test_ping_returns_seconds(client: Any) -> None:
    start = time.perf_counter()
    round_trip = client.ping()
    assert 0 < round_trip <= time.perf_counter() - start


def test_info_returns_the_payload(client: Any) -> None:
    info = client.info()
    assert info["name"] == "tested"
    assert info["device"] == "MOTOR"
    assert info["freedom"] == 1
    assert "GET" in info["capabilities"]


def test_get_returns_the_data(server: ServerLHC, client: Any) -> None:
    assert client.get() == {"x": 1.5}
    server.set_data({"positions": [1, 2.5], "name": "é€😀"}, copy=True)
    assert client.get() == {"positions": [1, 2.5], "name": "é€😀"}


COMMANDS: list[tuple[str, tuple[Any, ...], str, Any]] = [
    ("set", ([1.5, 2],), "position_changed", [1.5, 2]),
    ("set", ({"0": 2.5},), "position_changed", {"0": 2.5}),
    ("save", ("/data/run 1",), "saving_path_changed", "/data/run 1"),
    ("save", (pathlib.PurePosixPath("/data"),), "saving_path_changed", "/data"),
    ("opt", ({"gain": 3},), "opt", {"gain": 3}),
    ("set_actuators", ({"stage": [0, 1]},), "set_actuators", {"stage": [0, 1]}),
    ("set_diagnostics", ({"camera": 1},), "set_diagnostics", {"camera": 1}),
    ("update_actuator_positions", ({"s": 1.0},), "update_actuator_positions", {"s": 1.0}),
    ("toggle_saving", (True,), "saving_status_toggled", True),
    ("toggle_saving", (False,), "saving_status_toggled", False),
]


@pytest.mark.parametrize(("method", "arguments", "callback", "expected"), COMMANDS)
def test_commands_reach_their_callbacks(
    server: ServerLHC,
    client: Any,
    method: str,
    arguments: tuple[Any, ...],
    callback: str,
    expected: Any,
) -> None:
    seen: list[Any] = []
    getattr(server, f"set_on_{callback}")(seen.append)
    assert getattr(client, method)(*arguments) is None
    assert seen == [expected]


def test_scan_sends_the_whole_message(server: ServerLHC, client: Any) -> None:
    seen: list[Any] = []
    server.set_on_scan(seen.append)
    client.scan({"step": 3})
    assert seen[0]["payload"] == {"data": {"step": 3}}
    assert seen[0]["from"] == "asker"


def test_request_sends_any_command(server: ServerLHC, client: Any) -> None:
    server.register_handler("ADD", lambda server, message, target: message["payload"])
    assert client.request("ADD", {"a": 1}) == {"a": 1}
    with pytest.raises(errors.RemoteError, match="Unknown command") as caught:
        client.request("NOPE")
    assert (caught.value.cmd, caught.value.address) == ("NOPE", client.address)
    # The connection is as good as before.
    assert client.get() == {"x": 1.5}


def test_missing_payload_is_a_remote_error(client: Any) -> None:
    with pytest.raises(errors.RemoteError) as caught:
        client.request("SET")
    assert caught.value.error_msg == "Payload missing keys: ['positions']."
    assert str(caught.value) == caught.value.error_msg


def test_stop_server(server: ServerLHC, client: Any) -> None:
    client.stop_server()
    server.join(PATIENCE_S)
    assert not server.is_alive()


def test_stop_not_permitted(kind: Kind) -> None:
    with serving(remote_stop=False, data={"x": 1.5}) as server, kind(address_of(server)) as client:
        with pytest.raises(errors.NotPermitted, match="remote_stop"):
            client.stop_server()
        assert client.get() == {"x": 1.5}


def test_nan_comes_from_the_real_server(server: ServerLHC, client: Any) -> None:
    server.set_data({"v": [math.nan, math.inf, -math.inf, 2**70]}, copy=True)
    values = client.get()["v"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 2**70]
