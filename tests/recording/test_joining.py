"""Rows of several streams, put together by a key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.recordings import Origin, new_part, updates_of

import laplace_server.recording as recording
from laplace_server.recording import join


@pytest.fixture
def path(tmp_path: Path) -> Path:
    part = new_part(tmp_path / "r.h5")
    streams: dict[str, list[dict[str, Any]]] = {
        "camera": [{"frame": n, "image": [n, n]} for n in (1, 2, 4, 5, 1, 2)],
        "meter": [{"shot": n, "e": n / 2} for n in (2.0, 3.0, 4.0, 4.0, 2.5, 1.0, 3.0)]
        + [{"e": 1}, {"shot": "text"}, {"shot": None}],
    }
    for port, (name, datas) in enumerate(streams.items(), 1):
        stream = part.stream(Origin(f"tcp://127.0.0.1:{port}", "s"), {"name": name})
        stream.take(updates_of(datas))
    part.close()
    return tmp_path / "r.h5"


def test_the_same_keys_are_one_row(path: Path) -> None:
    with recording.open(path) as opened:
        sources = {name: server["s"] for name, server in opened.items()}
        shots = join(sources, {"camera": "frame", "meter": "shot"})
        assert list(zip(shots.runs.tolist(), shots.keys.tolist(), strict=True)) == [
            *[(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)],
            *[(1, 1), (1, 2), (1, 3)],
        ]
        assert shots.rows["camera"].tolist() == [0, 1, -1, 2, 3, 4, 5, -1]
        assert shots.rows["meter"].tolist() == [-1, 0, 1, 2, -1, 5, -1, 6]
        whole = shots.complete
        assert whole.keys.tolist() == [2, 4, 1]
        told = [
            (key, [found["camera"].data["image"], found["meter"].data["e"]]) for key, found in whole
        ]
        assert told == [(2, [[2, 2], 1.0]), (4, [[4, 4], 2.0]), (1, [[1, 1], 0.5])]
        assert [list(found) for _, found in shots][:3] == [
            ["camera"],
            ["camera", "meter"],
            ["meter"],
        ]
        with pytest.raises(KeyError, match="'shot': the stream has frame, image"):
            join(sources, "shot")
        with pytest.raises(TypeError, match="'image' of 'camera' is no whole number"):
            join(sources, {"camera": "image", "meter": "shot"})


def test_nothing_is_put_together_of_nothing() -> None:
    assert len(join({}, "shot")) == 0
