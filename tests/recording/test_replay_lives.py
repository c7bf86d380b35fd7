"""Servers that were restarted, or killed, do so again when their recording is replayed."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.peers import PATIENCE_S
from support.recordings import ORIGIN, Origin, assert_equal, new_part, updates_of
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording
from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder
from laplace_server.recording.ledger import Ended
from laplace_server.recording.lives import events_of, lives_of
from laplace_server.recording.replay import Replay
from laplace_server.stream import Subscription


def replayed(first: Path, again: Path, *, to_the_end: bool) -> None:
    """Record a replay at full speed; ``to_the_end``, until its servers have stopped."""
    with recording.open(first) as opened, Replay(opened, block=True) as replay:
        clients = [ClientLHC(server.address) for server in replay.servers.values()]
        with Recorder(again, clients) as recorder:
            assert replay.wait_for_subscribers(PATIENCE_S)
            count = replay.play(math.inf)
            wait_until(
                lambda: sum(each.updates for each in recorder.stats().streams) == count, "all came"
            )
            assert replay.wait_until_sent(PATIENCE_S)
            if to_the_end:
                replay.close()
                wait_until(
                    lambda: all(each.trouble for each in recorder.stats().streams), "all ended"
                )
        for client in clients:
            client.close()


def restarted(server: Any, make_server: MakeServer, **options: Any) -> Any:
    """Start the same device again."""
    address = server.address
    server.stop()
    return make_server(name=server.name, address=address, **options)


def test_a_device_that_restarts_in_the_middle(
    make_server: MakeServer, record: Any, tmp_path: Path
) -> None:
    first, again = tmp_path / "run.h5", tmp_path / "again.h5"
    camera = make_server(name="camera", freedom=1, describe={"gain": {"unit": "dB"}})
    camera.declare_stream("data")
    for n in range(4):
        camera.publish("images", {"image": np.full((5, 6), n, "u2")}, timestamp=50.0 + n)
    camera.set_data({"gain": 1.5}, copy=True)
    recorder = record(camera, part_s=0.3)

    def came(number: int) -> None:
        wait_until(
            lambda: sum(each.updates for each in recorder.stats().streams) == number, "all came"
        )

    came(5)
    camera.publish("images", {"image": np.zeros((5, 6), "u2")}, lost_before=3)
    came(6)
    camera = restarted(camera, make_server, freedom=2, describe={"gain": {"unit": "V"}})
    camera.declare_stream("data")
    camera.publish("images", {"image": np.ones((7, 6)), "n": None}, timestamp=40.0, lost_before=1)
    camera.set_data({"gain": [1, 2.5]}, copy=True)
    came(8)
    recorder.close()
    replayed(first, again, to_the_end=False)
    assert_equal(first, again)
    with recording.open(again) as opened:
        lives = list(dict.fromkeys(opened["camera"]["images"].epoch.tolist()))
        assert len(lives) == 2
        assert [opened["camera"].info_of(epoch)["freedom"] for epoch in lives] == [1, 2]
        kinds = [row.kind for row in opened["camera"]["images"].ledger]
        assert kinds == ["received", "lost", "received", "ended", "lost", "received"]


def write_lives(path: Path) -> None:
    """Streams of one server that was killed once, with losses that only their ends tell."""
    part = new_part(path)
    shots = part.stream(ORIGIN, {"name": "laser"})
    shots.take(updates_of([{"n": 1}, {"n": 2}], first=5))
    (later,) = updates_of([{"n": 3}], first=10)
    shots.take([later._replace(lost_before=3)])
    shots.end(Ended(7, 10, 12, complete=True))
    shots.end(Ended(8, 0, 0, complete=False))
    shots.take([each._replace(lost_before=1) for each in updates_of([{"n": 4}], 2, epoch=9)])
    shots.end(Ended(9, 2, 4, complete=True))
    other = part.stream(Origin(ORIGIN.address, "other"), {"name": "laser"})
    other.take(updates_of([{"m": 1}], epoch=7))
    other.end(Ended(7, 1, 3, complete=False))
    other.take(updates_of([{"m": 2}, {"m": 3}], epoch=8))
    other.end(Ended(8, 2, 2, complete=False))
    other.take(updates_of([{"m": 4}], epoch=9))
    other.end(Ended(9, 1, 1, complete=True))
    rare = part.stream(Origin(ORIGIN.address, "rare"), {"name": "laser"})
    rare.take(updates_of([{}], first=2, epoch=8))
    rare.end(Ended(8, 2, 3, complete=False))
    rare.end(Ended(9, 0, 0, complete=True))
    part.close()


def test_losses_and_ends_are_told_again(tmp_path: Path) -> None:
    first, again = tmp_path / "r.h5", tmp_path / "again.h5"
    write_lives(first)
    replayed(first, again, to_the_end=True)
    assert_equal(first, again)


def test_one_that_was_killed_last_comes_again(tmp_path: Path) -> None:
    """With an epoch of its own: only so somebody who follows knows that the one before is over."""
    first, again = tmp_path / "r.h5", tmp_path / "again.h5"
    part = new_part(first)
    shots = part.stream(ORIGIN, {"name": "laser"})
    shots.take(updates_of([{"n": 1}, {"n": 2}]))
    shots.end(Ended(7, 2, 2, complete=False))
    part.close()
    replayed(first, again, to_the_end=False)
    assert_equal(first, again)


def begin_to_play(replay: Replay, times: int = 1) -> threading.Thread:
    def play() -> None:
        for _ in range(times):
            replay.play(math.inf)

    thread = threading.Thread(target=play)
    thread.start()
    return thread


def idle(subscription: Subscription) -> Subscription:
    """Take what there is, which is no update."""
    with pytest.raises(TimeoutError):
        subscription.next(0.01)
    return subscription


def test_what_programs_see(tmp_path: Path) -> None:
    """Epochs, numbers and where each life ended, as from the devices."""
    write_lives(tmp_path / "r.h5")
    with recording.open(tmp_path / "r.h5") as opened, Replay(opened, block=True) as replay:
        address = replay.servers["laser"].address
        with ClientLHC(address) as client, client.subscribe("shots", start="oldest") as shots:
            info = client.info()
            assert info["epoch"] == 7
            assert info["streams"]["shots"] == {"first": 5, "last": 4}
            playing = begin_to_play(replay)
            came = [shots.next(PATIENCE_S) for _ in range(4)]
            assert [(each.epoch, each.seq, each.lost_before) for each in came] == [
                (7, 5, 0),
                (7, 6, 0),
                (7, 10, 3),
                (9, 2, 1),
            ]
            wait_until(lambda: idle(shots).lag == 2, "it was told of those behind the last")
            playing.join(PATIENCE_S)
            assert replay.servers["laser"].address == address
            assert client.info()["streams"]["shots"] == {"first": 1, "last": 4}
            assert [(each.epoch, each.last, each.lost, each.complete) for each in shots.ended] == [
                (7, 12, 5, True),
                (8, 0, 0, False),
            ]


def test_a_second_time_it_has_other_epochs(tmp_path: Path) -> None:
    """Those of the recording are over, and nobody would take them."""
    write_lives(tmp_path / "r.h5")
    with recording.open(tmp_path / "r.h5") as opened, Replay(opened, block=True) as replay:
        with ClientLHC(replay.servers["laser"].address) as client:
            with client.subscribe("other", start="oldest") as other:
                playing = begin_to_play(replay, times=2)
                came = [other.next(PATIENCE_S) for _ in range(8)]
                playing.join(PATIENCE_S)
    assert [each.seq for each in came] == 2 * [1, 1, 2, 1]
    assert [each.epoch for each in came[:4]] == [7, 8, 8, 9]
    assert len({each.epoch for each in came}) == 6


def test_at_the_speed_it_had(tmp_path: Path) -> None:
    """Who follows has the time that he had to come again, and misses nothing."""
    part = new_part(tmp_path / "r.h5")
    writer = part.stream(ORIGIN, {"name": "laser"})
    for epoch in (7, 8):
        updates = updates_of([{"n": n} for n in range(4)], epoch=epoch)
        writer.take([each._replace(timestamp=each.timestamp + epoch) for each in updates])
        if epoch == 7:
            writer.end(Ended(epoch, 4, 4, complete=True))
    part.close()
    with recording.open(tmp_path / "r.h5") as opened, Replay(opened) as replay:
        with ClientLHC(replay.servers["laser"].address) as client:
            with client.subscribe("shots", start="oldest") as shots:
                playing = begin_to_play(replay)
                came = [shots.next(PATIENCE_S).following for _ in range(8)]
                assert [each[:1] + each[4:] for each in shots.ended] == [(7, 4, True)]
                playing.join(PATIENCE_S)
    assert came == [(epoch, seq) for epoch in (7, 8) for seq in range(1, 5)]


RUNS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=3)
ENDS = st.tuples(st.integers(0, 2), st.sampled_from([True, False]))


@settings(max_examples=25, deadline=None)
@given(
    lives=st.lists(st.tuples(st.dictionaries(st.sampled_from("ab"), RUNS), ENDS), max_size=4),
    first=st.integers(1, 9),
)
def test_lives_have_all_that_the_ledger_has(tmp_path_factory: Any, lives: Any, first: int) -> None:
    """What they say, written down again, is the same ledger."""
    folder = tmp_path_factory.mktemp("lives")
    part = new_part(folder / "r.h5")
    begun: set[str] = set()
    for epoch, (runs, (behind, complete)) in enumerate(lives, 1):
        for name, gaps in runs.items():
            stream = part.stream(Origin(ORIGIN.address, name), {"name": "laser"})
            seq = 0 if name in begun else first - 1
            begun.add(name)
            for gap, count in gaps:
                updates = updates_of([{}] * count, seq + gap + 1, epoch)
                stream.take([updates[0]._replace(lost_before=gap), *updates[1:]])
                seq += gap + count
            stream.end(Ended(epoch, seq, seq + behind, complete))
    part.close()
    again = new_part(folder / "again.h5")
    with recording.open(folder / "r.h5") as opened:
        if not begun:
            assert list(opened) == []
            again.close()
            return
        server = opened["laser"]
        found = lives_of(server)
        epochs = [life.epoch for life in found if life.epoch]
        assert epochs == [n for n, (runs, _) in enumerate(lives, 1) if runs]
        events = list(events_of(server, found))
        assert [event.time for event in events] == sorted(event.time for event in events)
        for number, life in enumerate(found):
            for event in events:
                if event.life == number:
                    stream = again.stream(Origin(ORIGIN.address, event.stream), {"name": "laser"})
                    stream.take([event.update._replace(lost_before=event.lost_before)])
            for name, span in life.spans.items():
                if not span.ending:  # it only came again
                    continue
                stream = again.stream(Origin(ORIGIN.address, name), {"name": "laser"})
                had = span.last - span.lost_behind
                stream.end(Ended(life.epoch, had, span.last, span.ending == "ended"))
    again.close()
    assert_equal(folder / "r.h5", folder / "again.h5")
