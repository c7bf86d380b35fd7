"""STATS: what clients are told of a server's counters."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from typing import Any

import pytest
from support.peers import Connect, address_of
from support.serving import Gate, MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC, __version__
from laplace_server.client import AsyncClientLHC
from laplace_server.errors import RemoteError
from laplace_server.stats import ErrorKind, ServerStats


def told(server: ServerLHC) -> dict[str, Any]:
    with client_of(server) as client:
        return client.stats()


def test_all_that_is_counted_is_told(make_server: MakeServer) -> None:
    server = make_server(data={"x": object()})
    server.declare_stream("shots")
    with client_of(server) as client:
        client.ping()
        client.set([1.0])
        with pytest.raises(RemoteError):
            client.request("NONSENSE")
        with client.subscribe("shots") as shots:
            server.publish("shots", {"n": 1})
            shots.next()
            # What is counted is counted after the reply has left.
            assert eventually(lambda: client.stats()["commands"]["SET"]["python"] == 1)
            stats = client.stats()
            own = server.stats()
    assert set(stats) == {
        *(each.name for each in dataclasses.fields(ServerStats)),
        *("name", "device", "version", "transport", "epoch"),
    }
    assert (stats["name"], stats["device"]) == (server.name, "MOTOR")
    assert (stats["version"], stats["transport"]) == (__version__, server.transport)
    assert stats["epoch"] == server.epoch
    assert stats["commands"]["PING"] == {"native": 1, "python": 0}
    assert stats["errors"]["UNKNOWN_COMMAND"] == own.errors[ErrorKind.UNKNOWN_COMMAND] == 1
    assert stats["data_error"] == own.data_error is not None
    assert 0 < stats["uptime_s"] < own.uptime_s
    assert stats["running"] is None
    (subscriber,) = stats["subscribers"]
    assert (subscriber["stream"], subscriber["sent"], subscriber["lost"]) == ("shots", 1, 0)
    latency = stats["native_latency"]
    assert latency["total"] == sum(latency["counts"]) > 0
    assert 0 < latency["p50_s"] <= latency["p99_s"]
    assert stats["connections"] == own.connections >= 1


def test_it_is_plain_json(make_server: MakeServer) -> None:
    values = make_server(start=False).stats().as_json()
    assert json.loads(json.dumps(values)) == values | {"subscribers": []}
    assert values["uptime_s"] == 0.0


def test_it_is_answered_while_a_callback_hangs(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    gate = Gate()
    server.set_on_position_changed(gate)
    waiting = connect(server)
    waiting.send("SET", {"positions": [1]})
    gate.wait_begun()
    begun = time.monotonic()
    stats = told(server)
    assert stats["running"]["what"] == "SET (on_position_changed)"
    assert stats["queue_depth"] >= 1
    assert eventually(lambda: told(server)["running"]["seconds"] > stats["running"]["seconds"])
    assert stats["running"]["seconds"] <= time.monotonic() - begun + stats["uptime_s"]
    gate.open()
    assert waiting.receive()["error_msg"] is None
    assert eventually(lambda: told(server)["running"] is None)
    assert server.stats().running is None


def test_it_runs_no_code_of_the_program(make_server: MakeServer) -> None:
    class Own(ServerLHC):
        """Its names are what this package might ask for."""

        def stats(self) -> Any:
            raise AssertionError("the program's own")

        @property
        def device(self) -> str:
            raise AssertionError("the program's own")

        @device.setter
        def device(self, value: str) -> None:
            pass

        def uptime_s(self) -> float:
            raise AssertionError("the program's own")

        running_since = as_json = begun_at = uptime_s

    stats = told(make_server(kind=Own))
    assert stats["device"] == "MOTOR"


def test_a_changed_device_and_name_are_told(make_server: MakeServer) -> None:
    server = make_server()
    server.device, server.name = "GAS", "valve"
    stats = told(server)
    assert (stats["device"], stats["name"]) == ("GAS", "valve")


def test_a_program_may_answer_by_itself(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    server.register_handler("STATS", lambda *_: {"mine": 1})
    assert told(server) == {"mine": 1}
    server.register_handler("ALSO", server._handlers.builtin["STATS"])
    reply = connect(server).ask("ALSO")
    assert reply["payload"]["name"] == server.name
    assert reply["payload"]["running"]["what"] == "ALSO"


def test_asyncio(make_server: MakeServer) -> None:
    server = make_server()

    async def ask() -> dict[str, Any]:
        async with AsyncClientLHC(address_of(server)) as client:
            return await client.stats()

    assert asyncio.run(ask())["name"] == server.name


def test_a_server_without_it(make_server: MakeServer) -> None:
    server = make_server()
    del server._handlers["STATS"]  # so answers 0.2.0, too
    with pytest.raises(RemoteError, match=r"does not know STATS: it is older than laplace-server"):
        told(server)
