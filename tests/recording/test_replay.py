"""A recording that is served again, and recorded again, is the same."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.peers import PATIENCE_S
from support.recordings import Origin, assert_equal, is_same, new_part, updates_of, write_all
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording
from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder
from laplace_server.recording.replay import Replay

DESCRIBED = {
    "positions": {
        "unit": "mm",
        "limits": [(0, 5), (None, 1)],
        "writable": True,
        "moving": "moving",
    },
    ("images", "image"): {"dtype": "uint16", "shape": (20, 30), "unit": "count", "text": "beam"},
}


def rows(path: Path) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    with recording.open(path) as opened:
        return {
            f"{name}/{stream.name}": [(each.timestamp, each.data) for each in stream.updates()]
            for name, server in opened.items()
            for stream in server.values()
        }


def described(path: Path) -> Any:
    with recording.open(path) as opened:
        return {
            name: [server.info.get(key) for key in ("name", "device", "freedom", "description")]
            for name, server in opened.items()
        }


def record_of(replay: Replay, path: Path, updates: int) -> None:
    """Record all streams of a replay, played at full speed."""
    clients = [ClientLHC(server.address) for server in replay.servers.values()]
    with Recorder(path, clients) as recorder:
        assert replay.wait_for_subscribers(PATIENCE_S)
        assert replay.play(math.inf) == updates
        wait_until(
            lambda: sum(each.updates for each in recorder.stats().streams) == updates, "all came"
        )
        assert replay.wait_until_sent(PATIENCE_S)
    for client in clients:
        client.close()


def test_record_replay_record(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    stage = make_server(name="stage", freedom=2, describe=DESCRIBED, check_limits=True)
    laser = make_server(name="laser", device="SHOT", freedom=0)
    stage.declare_stream("data")
    recorder = record(stage, laser)
    for n in range(300):
        image = np.full((20, 30), n, "u2")
        stage.publish("images", {"n": n, "image": image}, timestamp=2000.0 + n / 100)
        stage.set_data({"positions": [n / 2, 0.5], "moving": n % 2 == 0}, copy=True)
        laser.publish("shots", {"n": n, "e": {"J": n / 7}, "t": f"{n}", "?": None})
    wait_until(lambda: sum(s.updates for s in recorder.stats().streams) == 900, "all came")
    recorder.close()
    first, again = tmp_path / "run.h5", tmp_path / "again.h5"
    with recording.open(first) as opened, Replay(opened, block=True) as replay:
        with ClientLHC(replay.servers["stage"].address) as client:
            assert client.get()["positions"] == [0.0, 0.5]
            assert client.describe().keys["positions"].unit == "mm"
        record_of(replay, again, 900)
        with ClientLHC(replay.servers["stage"].address) as client:
            assert client.get()["positions"] == [149.5, 0.5]
    assert set(rows(first)) == {"stage/images", "stage/data", "laser/shots"}
    for name, recorded in rows(first).items():
        assert all(
            one[0] == other[0] and is_same(one[1], other[1])
            for one, other in zip(recorded, rows(again)[name], strict=True)
        ), name
    assert described(first) == described(again)
    with recording.open(again) as opened:
        assert opened["stage"]["images"]["image"].attributes["units"] == "count"
    assert_equal(first, again)


def test_it_is_as_quick_as_it_was(tmp_path: Path) -> None:
    """Times are waited for; two streams are in the order of their times."""
    part = new_part(tmp_path / "r.h5")
    for port, first in ((1, 0), (2, 1)):
        stream = part.stream(Origin(f"tcp://127.0.0.1:{port}", "s"), {"name": f"n{port}"})
        stream.take(
            [
                each._replace(timestamp=5.0 + n)
                for each, n in zip(updates_of([{}] * 4), range(first, 8, 2), strict=True)
            ]
        )
    part.close()
    with recording.open(tmp_path / "r.h5") as opened, Replay(opened) as replay:
        begun = time.monotonic()
        assert replay.play(20.0) == 8
        assert time.monotonic() - begun >= 7 / 20
        with ClientLHC(replay.servers["n2"].address) as client:
            with client.subscribe("s", start="oldest") as updates:
                times = [updates.next(PATIENCE_S).timestamp for _ in range(4)]
        assert times == [6.0, 8.0, 10.0, 12.0]
        assert begun_anew_and_ended(replay, "n1") == 1
        assert not replay.wait_for_subscribers(PATIENCE_S)


def begun_anew_and_ended(replay: Replay, name: str) -> int:
    """Play as slowly as it goes, end it behind the first update, and return how many there were."""

    def end() -> None:
        wait_until(lambda: replay.servers[name]._core.streams.range_of("s")[1] == 1, "it began")
        replay.end()

    ending = threading.Thread(target=end)
    ending.start()
    count = replay.play(0.001)
    ending.join()
    return count


def test_wrong_arguments(tmp_path: Path) -> None:
    write_all(tmp_path / "r.h5", [{"a": 1}])
    with recording.open(tmp_path / "r.h5") as opened:
        with pytest.raises(KeyError, match="'x': the recording has laser"):
            Replay(opened, {"x": "tcp://127.0.0.1:*"})
        with Replay(opened) as replay:
            with pytest.raises(ValueError, match="'speed' must be positive"):
                replay.play(0)
