"""A device in NATS stands where a client of its server would."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any

import nats
import numpy as np
import pytest
from relay.conftest import MakeBroker, MakeRelay
from support.machine import within
from support.nats import Broker, needs_nats
from support.nats_store import stream_config
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.updates import adds_up, publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import ClientClosed, RemoteError, RequestTimeout
from laplace_server.gather import gather
from laplace_server.relay import AsyncNatsDevice, NatsDevice

pytestmark = needs_nats


def relay_all(make_relay: MakeRelay, broker: Broker, server: ServerLHC, last: int = 3) -> None:
    relay = make_relay(broker.url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].last == last, "all is stored", within(10))


def told(server: ServerLHC) -> dict[str, Any]:
    with ClientLHC(address_of(server)) as client:
        return client.info()


# ---- what NATS knows of it


def test_what_info_told(make_server: MakeServer, broker: Broker, make_relay: MakeRelay) -> None:
    server = make_server(name="a.b c", device="MOTOR")
    publish(server, 1, 3)
    relay_all(make_relay, broker, server)
    with NatsDevice(broker.url, "a.b c", "me") as device:
        assert device.info() == {**told(server), "streams": {"s": {}}}
        assert device._info_of(server.epoch)["epoch"] == server.epoch
        assert (device.address, device.device, device.name, device.timeout_s) == (
            f"{broker.url}/lhc.lab.a%2Eb%20c",
            "a.b c",
            "me",
            2.0,
        )
        assert repr(device) == f"<NatsDevice 'me' of {device.address}>"


def test_each_life_has_its_own(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    server = make_server(name="camera", device="CAMERA")
    publish(server, 1, 3)
    relay_all(make_relay, broker, server)
    server.stop()
    other = make_server(name="camera", device="MOTOR", address=address_of(server))
    publish(other, 1, 2)
    device = NatsDevice(broker.url, "camera")
    wait_until(lambda: device.info().get("epoch") == other.epoch, "it is noted", within(10))
    assert device._info_of(server.epoch)["device"] == "CAMERA"
    assert device._info_of(other.epoch)["device"] == "MOTOR"
    assert device._info_of(12345)["device"] == "MOTOR"  # nothing better is known
    assert stream_config(broker.url, "lhc+lab+camera+@device").max_msgs_per_subject == 1


def test_what_it_is_called_in_nats(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    publish(server, 1, 3)
    make_relay(broker.url, [(address_of(server), "s", "camera 2")])
    device = NatsDevice(broker.url, "camera 2")
    wait_until(lambda: "epoch" in device.info(), "it is noted", within(10))
    assert device.info()["name"] == "camera 2"


def test_what_is_not_there(make_broker: MakeBroker) -> None:
    broker = make_broker()
    device = NatsDevice(broker.url, "camera")
    assert device.info() == {"name": "camera", "streams": {}}
    broker.kill()
    with pytest.raises(RequestTimeout, match="no connection to NATS"):
        device.info()
    device.close()
    assert device.closed
    for refused in (device.info, device.subscribe, device.__enter__):
        with pytest.raises(ClientClosed):
            refused()


def test_it_is_told_what_there_is(server: ServerLHC, broker: Broker, make_relay: MakeRelay) -> None:
    publish(server, 1, 3)
    with pytest.raises(RemoteError, match="no stream of any device yet under lhc"):
        NatsDevice(broker.url, "camrea")._stream_names()
    relay_all(make_relay, broker, server)
    assert NatsDevice(broker.url, "camera")._stream_names() == {"s"}
    with pytest.raises(RemoteError, match=r"device 'camrea' yet; there are: camera$"):
        NatsDevice(broker.url, "camrea")._stream_names()
    for device, stream, match in (
        ("camrea", "s", "NATS has no stream of a device 'camrea' yet; there are: camera$"),
        ("camera", "t", "NATS has no stream 't' of the device 'camera' yet; there are: s$"),
    ):
        with pytest.raises(RequestTimeout) as raised:
            NatsDevice(broker.url, device).subscribe(stream, timeout_s=within(2))
        assert re.match(match, str(raised.value.__cause__))


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"device": ""}, ValueError, "'device' must not be empty"),
        ({"domain": "a.b"}, ValueError, "'domain' must be letters"),
        ({"domain": 3}, TypeError, "'domain' must be str"),
        ({"timeout_s": 0}, ValueError, "time"),
    ],
)
def test_wrong_arguments(changed: Mapping[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        NatsDevice(**{"nats_url": "nats://h:1", "device": "camera", **changed})


def test_notes_that_cannot_be_made_stop_nothing(
    server: ServerLHC,
    make_broker: MakeBroker,
    make_relay: MakeRelay,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where a relay may not make more than the streams."""
    monkeypatch.setattr("laplace_server.relay.connection.ANSWER_S", within(0.3))
    denied = {"publish": {"deny": "$JS.API.STREAM.CREATE.lhc+lab+camera+@device"}}
    users = [{"user": "u", "password": "p", "permissions": denied}]
    broker = make_broker(accounts={"A": {"jetstream": "enabled", "users": users}})
    publish(server, 1, 3)
    url = broker.url.replace("//", "//u:p@")
    relay = make_relay(url, [(address_of(server), "s")])
    wait_until(lambda: relay.stats().sources[0].updates == 3, "all is stored", within(10))
    assert "nothing is noted in NATS of its device: JetStream does not answer" in caplog.text
    assert NatsDevice(url, "camera").info() == {"name": "camera", "streams": {"s": {}}}


def test_streams_of_somebody_else_are_none_of_its(broker: Broker) -> None:
    async def make() -> None:
        client = await nats.connect(broker.url)
        jetstream = client.jetstream()
        subjects = ["lhc.lab.camera.other", "lhc.lab.camera.a+b", "lhc.lab.camera.a%20b"]
        for name, subject in zip(
            ["other", "lhc+lab+camera+a+b", "lhc+lab+camera+a%20b"], subjects, strict=True
        ):
            await jetstream.add_stream(name=name, subjects=[subject])
        await client.close()

    asyncio.run(make())
    assert NatsDevice(broker.url, "camera").info()["streams"] == {"a b": {}}


# ---- who takes it


def test_it_is_recorded(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay, tmp_path: Any
) -> None:
    recording = pytest.importorskip("laplace_server.recording")
    described = {("s", "n"): {"dtype": "int64", "unit": "mJ", "text": "energy"}}
    server = make_server(name="camera", device="CAMERA", describe=described)
    publish(server, 1, 3)
    server.publish("t", {"image": np.arange(6).reshape(2, 3)})
    make_relay(broker.url, [(address_of(server), "s"), (address_of(server), "t")])
    device = NatsDevice(broker.url, "camera")
    wait_until(lambda: set(device.info()["streams"]) == {"s", "t"}, "both are there", within(10))
    path = tmp_path / "run.h5"
    with recording.Recorder(path, [device]) as recorder:
        wait_until(lambda: count_of(recorder) == 4, "all has come", within(10))
        publish(server, 4, 5)
        wait_until(lambda: count_of(recorder) == 6, "all has come", within(10))
        assert {each.address for each in recorder.stats().streams} == {device.address}
    device.close()  # each recorder has one of its own
    again = NatsDevice(broker.url, "camera")
    publish(server, 6, 7)
    with recording.Recorder(path, [(again, "s")], resume=True) as recorder:
        wait_until(lambda: count_of(recorder) == 2, "the rest has come", within(10))
    with recording.open(path) as opened:
        stream = opened["camera"]["s"]
        assert stream.seq.tolist() == list(range(1, 8))
        assert {row.kind for row in stream.ledger} == {"received"}
        assert stream["n"].attributes["units"] == "mJ"
        assert opened["camera"].info["epoch"] == server.epoch
        assert np.array_equal(opened["camera"]["t"]["image"][0], np.arange(6).reshape(2, 3))


def count_of(recorder: Any) -> int:
    return sum(each.updates for each in recorder.stats().streams)


def test_it_is_gathered_with_a_server(
    server: ServerLHC, make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    meter = make_server(name="meter")
    for shot in range(1, 6):
        server.publish("s", {"shot": shot})
        meter.publish("s", {"shot": shot})
    relay_all(make_relay, broker, server, 5)
    with (
        ClientLHC(address_of(meter)) as client,
        gather(
            {"image": (NatsDevice(broker.url, "camera"), "s"), "energy": (client, "s")},
            key="shot",
            start="oldest",
        ) as records,
    ):
        found = [records.next(PATIENCE_S) for _ in range(5)]
    assert [(each.key, set(each.updates)) for each in found] == [
        (shot, {"image", "energy"}) for shot in range(1, 6)
    ]


def test_the_same_with_asyncio(server: ServerLHC, broker: Broker, make_relay: MakeRelay) -> None:
    publish(server, 1, 3)
    relay_all(make_relay, broker, server)

    async def use() -> None:
        async with AsyncNatsDevice(broker.url, "camera") as device:
            assert (await device.info())["epoch"] == server.epoch
            async with device.subscribe("s", start="oldest") as updates:
                assert adds_up([await updates.next(PATIENCE_S) for _ in range(3)], 1, 3)
            async with gather({"a": (device, "s")}, key="n", start="oldest") as records:
                assert (await records.next(PATIENCE_S)).key == 1
        with pytest.raises(ClientClosed):
            await device.info()

    asyncio.run(use())


# ---- the newest alone


def test_the_newest_each_time(server: ServerLHC, broker: Broker, make_relay: MakeRelay) -> None:
    publish(server, 1, 300)
    relay_all(make_relay, broker, server, 300)
    with NatsDevice(broker.url, "camera").subscribe("s", start=1, latest_only=True) as updates:
        update = updates.next(PATIENCE_S)
        assert (update.seq, update.lost_before, update.data) == (300, 299, {"n": 300})
        assert update.timestamp == pytest.approx(time.time(), abs=PATIENCE_S)
        publish(server, 301, 400)
        seen = [update]
        while seen[-1].seq < 400:
            seen.append(updates.next(PATIENCE_S))
        assert updates.lost == 400 - len(seen)
        assert sum(each.lost_before for each in seen) == updates.lost
        with pytest.raises(TimeoutError):
            updates.next(0.1)
        server.stop()
        wait_until(lambda: _ends(updates), "the end is told", within(10))


def _ends(updates: Any) -> bool:
    with pytest.raises(TimeoutError):
        updates.next(0.01)
    return bool(updates.server_ended)


def test_what_is_skipped_is_not_read(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    server.declare_stream("s", history_bytes=256 << 20)
    images = [np.full(1_500_000, n, np.uint8) for n in range(4)]  # each in two pieces
    for n in range(1, 41):
        server.publish("s", {"n": n, "image": images[n % 4]})
    relay_all(make_relay, broker, server, 40)
    with NatsDevice(broker.url, "camera").subscribe("s", start="oldest", latest_only=True) as all_:
        update = all_.next(PATIENCE_S)
        assert (update.seq, update.lost_before) == (40, 39)
        assert np.array_equal(update.data["image"], images[0])
        reader = all_._connection._connection._reader  # type: ignore[union-attr]
        assert reader is not None
        assert reader._consumer._consumed <= 3  # since it was begun anew behind the first
