"""A relay between servers and a real NATS server."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import numpy as np
import pytest
from relay.conftest import MakeBroker, MakeRelay
from support.isolated import run_script
from support.machine import WINDOWS, within
from support.nats import Broker, needs_nats
from support.nats_store import ledger_of, stored_ids, stream_config, totals
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import ClientClosed
from laplace_server.relay import NatsDevice, NatsRelay, RelaySource, follow
from laplace_server.relay.records import Kind

pytestmark = needs_nats


def stored(relay: NatsRelay, updates: int, lost: int = 0, source: int = 0) -> None:
    def is_there() -> bool:
        stats = relay.stats().sources[source]
        return (stats.updates, stats.lost, stats.waiting) == (updates, lost, 0)

    wait_until(is_there, f"{updates} stored and {lost} lost: {relay.stats()}", within(10))


def trouble(relay: NatsRelay, *texts: str, source: int = 0) -> None:
    """Wait until one of these is told."""

    def told() -> bool:
        present = relay.stats().sources[source].trouble or ""
        return any(text in present for text in texts)

    wait_until(told, f"one of {texts} is told", within(10))


def ledger(broker: Broker, stream: str = "s", device: str = "camera") -> tuple[int, int]:
    return totals(ledger_of(stored_ids(broker.url, device, stream)))


# ---- what arrives


def test_all_that_there_is_and_comes(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    publish(server, 1, 500)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    stored(relay, 500)
    publish(server, 501, 600)
    stored(relay, 600)
    stats = relay.stats()
    assert stats.connected
    assert (stats.sources[0].device, stats.sources[0].subject) == ("camera", "lhc.lab.camera.s")
    assert (stats.sources[0].epoch, stats.sources[0].last) == (server.epoch, 600)
    assert stats.as_json()["sources"][0]["updates"] == 600
    assert ledger(broker) == (600, 0)


def test_a_relay_goes_on_where_the_one_before_it_ended(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    for turn in range(4):
        publish(server, 100 * turn + 1, 100 * turn + 100)
        relay = make_relay(broker.url, [f"{address_of(server)}/s"])
        stored(relay, 100)
        relay.stop()
    assert ledger(broker) == (400, 0)


def test_large_arrays_come_in_pieces(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    images = [np.full((1500, 1000), n, np.uint16) for n in range(4)]  # 3 MB
    for image in images:
        server.publish("s", {"image": image, "text": "x" * 10})
    server.publish("s", {"text": "y" * 3_000_000})
    relay = make_relay(broker.url, [(address_of(server), "s")])
    stored(relay, 5)
    ids = stored_ids(broker.url, "camera", "s")
    assert [each.piece and each.piece.pieces for each in ids[:3]] == [3, 3, 3]
    assert totals(ledger_of(ids)) == (5, 0)
    with follow(broker.url, "camera", "s", start="oldest") as updates:
        for image in images:
            assert np.array_equal(updates.next(PATIENCE_S).data["image"], image)
        assert len(updates.next(PATIENCE_S).data["text"]) == 3_000_000


def test_what_left_the_history_is_noted(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    server.declare_stream("s", history_count=10)
    publish(server, 1, 10)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    stored(relay, 10)
    relay.stop()
    publish(server, 11, 100)
    stored(make_relay(broker.url, [(address_of(server), "s")]), 10, 80)
    assert ledger(broker) == (20, 80)


def test_ends_of_epochs_are_noted(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    server = make_server(name="camera")
    address = address_of(server)
    publish(server, 1, 10)
    relay = make_relay(broker.url, [(address, "s")])
    stored(relay, 10)
    server.stop()
    again = make_server(name="camera", address=address)
    publish(again, 1, 5)
    stored(relay, 15)
    relay.stop()
    again.stop()
    third = make_server(name="camera", address=address)
    publish(third, 1, 1)
    stored(make_relay(broker.url, [(address, "s")]), 1)
    epochs = ledger_of(stored_ids(broker.url, "camera", "s"))
    assert [each.epoch for each in epochs] == [server.epoch, again.epoch, third.epoch]
    # Of the second nobody heard that it ended.
    assert [each.end for each in epochs] == [Kind.END, Kind.CUT, None]
    assert [each.updates for each in epochs] == [10, 5, 1]


def test_whoever_is_not_there_is_waited_for(
    make_server: MakeServer, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    broker = make_broker(start=False)
    server = make_server(name="camera", start=False)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    trouble(relay, "no connection to NATS")
    broker.start()
    trouble(relay, "No answer")
    server.start()
    publish(server, 1, 3)
    stored(relay, 3)
    assert relay.stats().sources[0].trouble is None


def test_names_of_all_kinds(make_server: MakeServer, broker: Broker, make_relay: MakeRelay) -> None:
    server = make_server(name="Laser *.> Öffner")
    server.publish("a b.c>*", {"n": 1})
    stored(make_relay(broker.url, [(address_of(server), "a b.c>*")]), 1)
    with follow(broker.url, "Laser *.> Öffner", "a b.c>*", start="oldest") as updates:
        assert updates.next(PATIENCE_S).data == {"n": 1}


# ---- two of them


def test_rivals_write_each_update_once(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laplace_server.relay.source_relay._STAND_BY_S", 0.05)
    relays = [make_relay(broker.url, [(address_of(server), "s")]) for _ in range(3)]
    for begin in range(1, 3001, 10):
        publish(server, begin, begin + 9)
    wait_until(lambda: _last(relays) == 3000, "all is stored", within(20))
    # Whoever writes last ends; another one goes on.
    for relay in relays[:2]:
        relay.stop()
    publish(server, 3001, 3100)
    wait_until(lambda: _last(relays) == 3100, "all is stored", within(20))
    assert ledger(broker) == (3100, 0)


def _last(relays: list[NatsRelay]) -> int:
    return max(relay.stats().sources[0].last for relay in relays)


def test_another_device_of_the_same_name_is_refused(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    one, other = make_server(name="camera"), make_server(name="camera")
    publish(one, 1, 5)
    publish(other, 1, 7)
    relay = make_relay(broker.url, [(address_of(one), "s"), (address_of(other), "s")])
    wait_until(lambda: any(each.updates for each in relay.stats().sources), "one is relayed")
    refused = next(n for n, each in enumerate(relay.stats().sources) if not each.updates)
    trouble(relay, "NATS has 'camera' of another device, tcp://127.0.0.1:", source=refused)
    relay.stop()
    assert len(ledger_of(stored_ids(broker.url, "camera", "s"))) == 1
    # By another name it is told apart.
    address = relay.stats().sources[refused].address
    stored(make_relay(broker.url, [RelaySource(address, "s", "camera 2")]), 7 if refused else 5)


def test_one_of_the_same_name_with_another_stream_is_refused_too(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    camera, motor = make_server(name="camera"), make_server(name="motor")
    publish(camera, 1, 5)
    publish(motor, 1, 7, "data")
    stored(make_relay(broker.url, [(address_of(camera), "s")]), 5)
    source = (address_of(motor), "data", "camera")
    relay = make_relay(broker.url, [source])
    trouble(relay, "NATS has 'camera' of another device, tcp://127.0.0.1:")
    relay.stop()
    assert relay.stats().sources[0].updates == 0
    assert not _is_there(broker, "data")  # no trace of it
    stored(make_relay(broker.url, [source], moved=True), 7)


def test_a_stream_that_does_not_come_leaves_no_trace(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    relay = make_relay(broker.url, [(address_of(server), "nosuch", "camera")])
    trouble(relay, "No such stream")
    relay.stop()
    assert not _is_there(broker, "nosuch")
    trouble(relay, "No such stream")  # for whoever has stopped it
    relay = make_relay(broker.url, [(address_of(server), "nosuch", "camera")])
    trouble(relay, "No such stream")
    publish(server, 1, 3, "nosuch")
    stored(relay, 3)
    assert _is_there(broker, "nosuch")
    with NatsDevice(broker.url, "camera") as device:
        assert device.info()["epoch"] == server.epoch


def test_a_device_that_has_moved(
    make_server: MakeServer, broker: Broker, make_relay: MakeRelay
) -> None:
    one = make_server(name="camera")
    publish(one, 1, 5)
    relay = make_relay(broker.url, [(address_of(one), "s")])
    stored(relay, 5)
    one.stop()
    relay.stop()
    other = make_server(name="camera")
    publish(other, 1, 7)
    stored(make_relay(broker.url, [(address_of(other), "s")], moved=True), 7)
    assert [each.updates for each in ledger_of(stored_ids(broker.url, "camera", "s"))] == [5, 7]


# ---- what happens to a store


def test_a_store_put_back_in_time_is_filled_again(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    relay = make_relay(broker.url, [(address_of(server), "s")])
    publish(server, 1, 100)
    stored(relay, 100)
    broker.stop()
    shutil.copytree(broker.store, broker.folder / "kept")
    broker.start()
    publish(server, 101, 900)
    stored(relay, 900)
    broker.stop()
    shutil.rmtree(broker.store)
    (broker.folder / "kept").rename(broker.store)
    broker.start()
    publish(server, 901, 1000)
    wait_until(lambda: relay.stats().sources[0].last == 1000, "all is stored", within(10))
    stored(relay, 1800)
    assert ledger(broker) == (1000, 0)


def test_a_stream_that_was_deleted_is_made_anew(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    relay = make_relay(broker.url, [(address_of(server), "s")])
    publish(server, 1, 10)
    stored(relay, 10)
    asyncio.run(_delete(broker.url, "lhc+lab+camera+s"))
    publish(server, 11, 20)
    stored(relay, 30)
    assert ledger(broker) == (20, 0)


async def _delete(url: str, name: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().delete_stream(name)
    await client.close()


def test_what_jetstream_keeps(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    broker = make_broker(max_payload=1 << 17)
    relay = make_relay(
        broker.url, [(address_of(server), "s")], max_age_s=3600, max_bytes=200_000, site="hall 1"
    )
    for n in range(1, 1001):
        assert server.publish("s", {"n": n, "pad": "x" * 1000}) == n
    stored(relay, 1000)
    config = stream_config(broker.url, "lhc+hall%201+camera+s")
    assert (config.max_age, config.max_bytes, config.num_replicas) == (3600, 200_000, 1)
    kept = ledger_of(stored_ids(broker.url, "camera", "s", "hall 1"))[0]
    assert (kept.lost, kept.next) == (0, 1001)
    assert 800 < kept.first < 1000


def test_a_stream_that_is_there_keeps_what_it_does(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay, caplog: pytest.LogCaptureFixture
) -> None:
    publish(server, 1, 1)
    make_relay(broker.url, [(address_of(server), "s")], max_bytes=1 << 20)
    wait_until(lambda: _is_there(broker), "the stream is there")
    make_relay(broker.url, [(address_of(server), "s")], max_bytes=2 << 20)
    text = "keeps 1,048,576 bytes (asked: 2,097,152 bytes). `nats stream edit` changes it"
    wait_until(lambda: text in caplog.text, "it is told")
    caplog.clear()
    make_relay(broker.url, [(address_of(server), "s")])
    make_relay(broker.url, [(address_of(server), "s")], max_age_s=86400 * 7, replicas=3)
    text = "keeps updates for ever (asked: updates for 7 days), and one copy (asked: 3 copies)"
    wait_until(lambda: text in caplog.text, "it is told")
    assert caplog.text.count("nats stream edit") == 1  # of what was not asked for, nothing
    assert stream_config(broker.url, "lhc+lab+camera+s").max_bytes == 1 << 20


def test_a_limit_that_keeps_nothing_is_refused(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    publish(server, 1, 1)
    relay = make_relay(broker.url, [(address_of(server), "s")], max_bytes=1)
    trouble(relay, "with a limit of 1 bytes (--keep-bytes, max_bytes) JetStream may keep nothing")
    assert not _is_there(broker)


def test_when_a_trouble_is_over_it_is_told(
    server: ServerLHC,
    make_broker: MakeBroker,
    make_relay: MakeRelay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = make_broker(start=False)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    trouble(relay, "no connection to NATS")
    broker.start()
    publish(server, 1, 3)
    stored(relay, 3)
    publish(server, 4, 6)
    stored(relay, 6)
    told = [each for each in caplog.records if "is relayed again" in each.getMessage()]
    assert [each.levelname for each in told] == ["WARNING"]


def _is_there(broker: Broker, stream: str = "s") -> bool:
    try:
        stream_config(broker.url, f"lhc+lab+camera+{stream}")
    except nats.js.errors.NotFoundError:
        return False
    return True


def test_a_full_disk_is_waited_for(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    """What JetStream may take of the disk is a limit in its configuration."""
    broker = make_broker(jetstream={"max_file_store": 2_000_000})
    relay = make_relay(broker.url, [(address_of(server), "s")])
    for n in range(1, 4001):
        assert server.publish("s", {"n": n, "pad": "x" * 1000}) == n
    trouble(relay, "JetStream says: ")
    assert 500 < relay.stats().sources[0].updates < 2500
    broker.stop()
    broker.options = {}
    broker.start()
    stored(relay, 4000)
    assert ledger(broker) == (4000, 0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except OSError:
        done = None
    if done is None or done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_without_room(server: ServerLHC, small_disk: Path, make_relay: MakeRelay) -> None:
    broker = Broker(small_disk / "n1", jetstream={"max_file_store": 10**9}).start()
    try:
        relay = make_relay(broker.url, [(address_of(server), "s")])
        for n in range(1, 12001):
            assert server.publish("s", {"n": n, "pad": "x" * 1000}) == n
        trouble(relay, "JetStream")
        remount = ["mount", "-o", "remount,size=100m", str(small_disk)]
        subprocess.run(remount, check=True)
        broker.kill()  # by itself it takes nothing more
        broker.start()
        wait_until(lambda: relay.stats().sources[0].last == 12000, "all is stored", within(20))
        assert ledger(broker) == (12000, 0)
    finally:
        broker.kill()


@pytest.mark.skipif(WINDOWS, reason="no process can be made to stand still there")
def test_a_broker_that_stands_still(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_s = within(0.3)
    monkeypatch.setattr("laplace_server.relay.publisher.ANSWER_S", answer_s)
    relay = make_relay(broker.url, [(address_of(server), "s")])
    publish(server, 1, 10)
    stored(relay, 10)
    broker.freeze(True)
    try:
        publish(server, 11, 20)
        # Whoever asks it next may be the first to notice, and leave it.
        trouble(relay, f"has not said for {answer_s:g} s that it has stored", "connection to NATS")
    finally:
        broker.freeze(False)
    publish(server, 21, 30)
    stored(relay, 30)
    assert ledger(broker) == (30, 0)


@pytest.mark.skipif(WINDOWS, reason="no process can be made to stand still there")
def test_a_server_that_does_not_answer_is_left_for_another(
    server: ServerLHC,
    make_broker: MakeBroker,
    make_relay: MakeRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a cluster; these two are none, so the other one begins from the history."""
    for module in ("publisher", "connection"):
        monkeypatch.setattr(f"laplace_server.relay.{module}.ANSWER_S", within(0.3))
    brokers = {each.url: each for each in (make_broker("n1"), make_broker("n2"))}
    relay = make_relay(",".join(brokers), [(address_of(server), "s")])
    publish(server, 1, 10)
    stored(relay, 10)
    connection = relay._broker._connection
    assert connection is not None
    used = brokers.pop(connection.url)
    other = next(iter(brokers.values()))
    used.freeze(True)
    try:
        publish(server, 11, 20)
        stored(relay, 30)
        assert ledger(other) == (20, 0)
    finally:
        used.freeze(False)


def test_somebody_else_has_written(
    server: ServerLHC, broker: Broker, make_relay: MakeRelay
) -> None:
    relay = make_relay(broker.url, [(address_of(server), "s")])
    publish(server, 1, 1)
    stored(relay, 1)
    asyncio.run(_write(broker.url, "lhc.lab.camera.s"))
    publish(server, 2, 2)
    trouble(relay, "somebody else has written there")


async def _write(url: str, subject: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().publish(subject, b"hello")
    await client.close()


# ---- the class


def test_a_relay_is_started_once(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay
) -> None:
    relay = make_relay("nats://127.0.0.1:9", [(address_of(server), "s")], start=False)
    assert not relay.is_alive()
    with relay:
        assert relay.is_alive()
        with pytest.raises(ClientClosed, match="started once"):
            relay.start()
    relay.stop()
    assert not relay.is_alive()
    with pytest.raises(ClientClosed):
        relay.start()
    assert repr(relay) == "<NatsRelay of 1 streams to nats://127.0.0.1:9>"


def test_one_that_is_not_stopped_ends_with_its_program() -> None:
    script = """
        from laplace_server.relay import NatsRelay
        relay = NatsRelay("nats://127.0.0.1:9", ["tcp://127.0.0.1:9/s"])
        relay.start()
        print("ends")
    """
    assert run_script(script) == "ends\n"


@pytest.mark.parametrize(
    ("changed", "error", "match"),
    [
        ({"nats_url": "localhost"}, ValueError, "must be nats://HOST:PORT"),
        ({"nats_url": 4222}, TypeError, "'nats_url' must be str"),
        ({"sources": []}, ValueError, "must name a stream at least"),
        ({"sources": "tcp://h:1/s"}, TypeError, "must be a list"),
        ({"sources": ["tcp://h:1"]}, ValueError, "is not ADDRESS/STREAM"),
        ({"sources": [("tcp://h:1", "")]}, ValueError, "must not be empty"),
        ({"sources": [("tcp://h:1", 3)]}, TypeError, "are str, not 3"),
        ({"sources": [("h", "s")]}, ValueError, "Address must be"),
        ({"sources": [("tcp://h:1",)]}, TypeError, "a source must be"),
        ({"sources": ["h:1/s", "tcp://h:1/s"]}, ValueError, "are there twice"),
        ({"site": ""}, ValueError, "'site' must not be empty"),
        ({"prefix": ">"}, ValueError, "'prefix' must be words"),
        ({"max_age_s": -1}, ValueError, "'max_age_s' must be 0.1 s"),
        ({"max_age_s": "7d"}, TypeError, "'max_age_s' must be a number"),
        ({"max_bytes": 0}, ValueError, "max_bytes"),
        ({"replicas": 6}, ValueError, "replicas"),
    ],
)
def test_wrong_arguments(changed: dict[str, Any], error: type[Exception], match: str) -> None:
    arguments = {"nats_url": "nats://h:4222", "sources": ["tcp://h:1/s"], **changed}
    with pytest.raises(error, match=match):
        NatsRelay(**arguments)


def test_passwords_are_not_shown(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    broker = make_broker(authorization={"user": "relay", "password": "secret"})
    publish(server, 1, 1)
    url = broker.url.replace("//", "//relay:secret@")
    relay = make_relay(url, [(address_of(server), "s")])
    stored(relay, 1)
    wrong = make_relay(broker.url, [(address_of(server), "s")])
    trouble(wrong, "no connection to NATS (nats: 'Authorization Violation'")
    assert "secret" not in f"{relay!r} {relay.stats()} {caplog.text}"
