"""What a type checker says of the public names. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from typing_extensions import assert_type

import laplace_server
from laplace_server import ServerLHC, recording
from laplace_server.client import AsyncClientLHC, ClientLHC
from laplace_server.description import ArgumentDescription, DeviceDescription
from laplace_server.errors import (
    LaplaceError,
    NotPermitted,
    RemoteError,
    RequestTimeout,
    VersionMismatch,
)
from laplace_server.gather import AsyncGathering, Gathering, Record, SourceStats, gather
from laplace_server.recording import (
    Joined,
    LedgerRow,
    Recorder,
    RecorderStats,
    Values,
    join,
)
from laplace_server.recording.replay import Replay
from laplace_server.security import Change, ClientSecurity, ServerSecurity
from laplace_server.stats import CommandStats, ErrorKind, LatencyHistogram, ServerStats
from laplace_server.stream import EndedEpoch, Subscription, Update


def server_members(server: ServerLHC) -> None:
    assert_type(laplace_server.__version__, str)
    assert_type(server.name, str)
    assert_type(server.freedom, int)
    assert_type(server.device, str)
    assert_type(server.server_port, str)
    assert_type(server.address_for_client, str)
    assert_type(server.data, dict[Any, Any])
    assert_type(server.capabilities, list[str])
    assert_type(server.running, Event)
    assert_type(server.is_alive(), bool)


def server_use() -> None:
    def home(server: ServerLHC, message: dict[str, Any], target: Any) -> dict[str, Any]:
        return {"axis": message["payload"]["axis"]}

    with ServerLHC(name="stage", address="tcp://*:5555", freedom=2, device="MOTOR") as server:
        assert_type(server, ServerLHC)
        server.set_on_position_changed(lambda positions: print(positions))
        server.on_saving_path_changed = print
        assert_type(server.name_list, list[Any])
        assert_type(server.stats().callback_errors, Mapping[str, int])
        server.name = "renamed"
        server.name_list = ["x"]
        server.register_handler("HOME", home)
        server.set_data({"positions": [0.0, 0.0]}, copy=True)


def security_use(text: str, file: Path) -> None:
    roles = {text: "view"}
    security = ServerSecurity(text, roles, anonymous="view")
    ServerSecurity(file, {text: "view", file: {"GET", "SCAN"}})
    ServerLHC("stage", "tcp://*:5555", 2, "MOTOR", security=security)
    security.allow(file, "operate", name="anna")
    security.revoke("anna")
    assert_type(security.public_key, str)
    assert_type(ServerSecurity.from_folder(file).reload(), Change)


def wrong_use(server: ServerLHC) -> None:
    # `strict` reports an ignore that nothing needs: each of these lines is an error to mypy.
    server.set_data([1, 2])  # type: ignore[arg-type]
    server.describe("x", units="mm")  # type: ignore[call-arg]
    server.command("HOME")(5)  # type: ignore[type-var]
    server.set_on_get("no function")  # type: ignore[arg-type]
    ServerLHC("stage", "tcp://*:5555", "2", "MOTOR")  # type: ignore[arg-type]
    server.server_port = "5556"  # type: ignore[assignment]
    ServerLHC("stage", "tcp://*:5555", 2, "MOTOR", callback_errors="raise")  # type: ignore[arg-type]
    ServerLHC("stage", "tcp://*:5555", 2, "MOTOR", security="keys")  # type: ignore[arg-type]
    laplace_server.Server  # type: ignore[attr-defined]  # noqa: B018
    laplace_server.client.Client  # type: ignore[attr-defined]  # noqa: B018


def counters(server: ServerLHC) -> None:
    stats = server.stats()
    assert_type(stats, ServerStats)
    assert_type(stats.commands, Mapping[str, CommandStats])
    assert_type(stats.errors[ErrorKind.BUSY], int)
    assert_type(stats.native_latency, LatencyHistogram)
    assert_type(stats.native_latency.quantile(0.99), float)


def client_use() -> None:
    with ClientLHC("tcp://127.0.0.1:5555", name="scan", timeout_s=2.0) as client:
        assert_type(client.ping(), float)
        assert_type(client.info(), dict[str, Any])
        assert_type(client.get(), dict[str, Any])
        assert_type(client.get(arrays=True), dict[str, Any])
        try:
            client.set([1.5, 2.0])
        except RemoteError as error:
            assert_type(error.error_msg, str)
        except RequestTimeout as error:
            assert_type(error.timeout_s, float)


async def use_with_keys() -> None:
    address = "tcp://127.0.0.1:5555"
    security = ClientSecurity.find(address, "anna")
    assert_type(security, ClientSecurity | None)
    with ClientLHC(address, security=security) as client:
        assert_type(client.security, ClientSecurity | None)
    async with AsyncClientLHC(address, security=security) as other:
        assert_type(await other.get(), dict[str, Any])


def stream_use(client: ClientLHC) -> None:
    with client.subscribe("images", start=17) as images:
        assert_type(images, Subscription)
        for update in images:
            assert_type(update, Update)
            assert_type(update.seq, int)
            assert_type(update.timestamp, float)
            assert_type(update.copy(), Update)
            assert_type(update.following, tuple[int, int])
            with client.subscribe("images", start=update.following, name="again") as again:
                assert_type(again.take(timeout=1.0), list[Update])
        assert_type(images.next(timeout=0.5).data, dict[str, Any])
        assert_type(images.ended, tuple[EndedEpoch, ...])
        assert_type(images.server_ended, bool)
        assert_type(images.trouble, str | None)


async def asynchronous_use() -> None:
    async with AsyncClientLHC("tcp://127.0.0.1:5555", timeout_s=2.0) as client:
        assert_type(await client.ping(), float)
        assert_type(await client.describe(), DeviceDescription)
        assert_type(await client.call("HOME", axis=0), Any)
        assert_type(await client.get(arrays=True), dict[str, Any])
        async with client.subscribe("images", latest_only=True) as images:
            async for update in images:
                assert_type(update, Update)
            assert_type(await images.take(), list[Update])
        other = await client.subscribe("data")
        assert_type((await other.next(timeout=0.5)).lost_before, int)


def gathered_use(camera: ClientLHC, meter: ClientLHC) -> None:
    sources = {"image": (camera, "images"), "energy": (meter, "shots")}
    with gather(sources, key={"image": "frame", "energy": "shot"}, wait_s=0.5) as records:
        assert_type(records, Gathering)
        for record in records:
            assert_type(record, Record)
            assert_type(record.updates, dict[str, Update])
            if record.missing.get("image") == "lost":
                print(record.key, record.run)
        assert_type(records.next(timeout=1.0).complete, bool)
        assert_type(records.take(), list[Record])
        assert_type(records.stats()["image"], SourceStats)


async def gathered_with_asyncio(camera: AsyncClientLHC) -> None:
    starts = {"image": (5, 7)}
    async with gather({"image": (camera, "images")}, "shot", start=starts) as records:
        assert_type(records, AsyncGathering)
        async for record in records:
            assert_type(record, Record)
        assert_type(await records.take(timeout=1.0), list[Record])


def recorded_use(camera: ClientLHC, meter: ClientLHC) -> None:
    with Recorder("run.h5", [(camera, "images"), meter], compression="gzip", part_s=60) as recorder:
        assert_type(recorder.wait_followed(1.0), bool)
        assert_type(recorder.stats(), RecorderStats)
        assert_type(recorder.stats().streams[0].lost, int)
    with recording.open("run.h5") as opened:
        stream = opened["camera"]["images"]
        assert_type(stream["image"], Values)
        assert_type(stream.ledger, list[LedgerRow])
        assert_type(stream.update(0), Update)
        assert_type(join({"a": stream}, key="shot").complete, Joined)
        with Replay(opened, {"camera": "tcp://*:5555"}) as replay:
            assert_type(replay.play(speed=2), int)


def described_use(server: ServerLHC, client: ClientLHC) -> None:
    ServerLHC("stage", "tcp://*:5555", 2, "MOTOR", describe={"x": {"unit": "mm"}})
    ServerLHC("stage", "tcp://*:5555", 2, "MOTOR", check_limits=True, when_moving="busy")
    server.describe("positions", dtype=float, unit="mm", limits=(0, 5), writable=True)
    server.describe("image", stream="images", dtype="uint16", shape=(None, 640))

    @server.command("HOME")
    def home(axis: int) -> float:
        return 1.0 * axis

    assert_type(home(1), float)
    device = client.describe(timeout_s=1.0)
    assert_type(device, DeviceDescription)
    assert_type(device.keys["positions"].unit, str | None)
    assert_type(device.keys["positions"].limits_of(0), tuple[float, float] | None)
    assert_type(device.methods["HOME"].arguments, tuple[ArgumentDescription, ...])
    assert_type(client.call("HOME", axis=1, timeout_s=1.0), Any)


def families(mismatch: VersionMismatch, refused: NotPermitted, timeout: RequestTimeout) -> None:
    remote: RemoteError = mismatch
    remote = refused
    late: TimeoutError = timeout
    both: list[LaplaceError] = [remote, timeout]
    print(late, both)
