"""Another process follows a file while it is written, by HDF5's SWMR reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.isolated import Child
from support.recordings import write_all
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording

ROWS = 600

# Plain h5py: it knows nothing of recordings but docs/recorder.md.
READER = """
import json, sys
import h5py, hdf5plugin

path, wanted = sys.argv[1], int(sys.argv[2])
names = ["n", "x", "image", "text", "text.lengths", "seq"]
with h5py.File(path, "r", swmr=True) as file:
    group = file["tested/shots"]
    datasets = {name: group[name] for name in names}
    print("follows", flush=True)
    rows = looks = used = 0
    while rows < wanted:
        for name in reversed(names):  # seq first: it counts what is there
            datasets[name].refresh()
        end, looks = len(datasets["seq"]), looks + 1
        for row in range(rows, end):
            assert datasets["seq"][row] == row + 1, row
            n = int(datasets["n"][row])
            length = int(datasets["text.lengths"][row, 0])
            text = datasets["text"][used : used + length].tobytes().decode()
            used += length
            image = datasets["image"][row]
            assert (n, text) == (row + 1, "\\u00e9" * (n % 7) + str(n)), row
            assert datasets["x"][row].tolist() == [n / 2, n], row
            assert image.shape == (100, 120) and (image == n).all(), row
        rows = end
print(json.dumps([rows, looks]), flush=True)
"""


def test_a_reader_follows(make_server: MakeServer, record: Any, tmp_path: Path) -> None:
    server = make_server()

    def publish(n: int) -> None:
        data = {"n": n, "x": [n / 2, float(n)], "text": "é" * (n % 7) + str(n)}
        server.publish("shots", {**data, "image": np.full((100, 120), n, "u2")})

    recorder = record(server, swmr=True)
    publish(1)
    path = tmp_path / "run.h5"
    wait_until(lambda: rows_of(path) == 1, "the first is there")
    child = Child(READER, str(path), str(ROWS))
    try:
        assert child.hear() == "follows"
        for n in range(2, ROWS + 1):
            publish(n)
            if n % 20 == 0:  # what comes later does not disturb a reader, whatever it is
                server.publish(f"later {n}", {f"key {n}": str(n)})
            wait_until(lambda n=n: updates_of(recorder) >= n, "it came")  # type: ignore[misc]
        rows, looks = json.loads(child.hear())
    finally:
        child.close()
    assert rows == ROWS
    assert looks > 2
    recorder.close()
    with recording.open(path) as opened:
        assert opened["tested"]["shots"]["text"][6] == "7"
        assert opened["tested"]["shots"].lost == 0
        assert opened["tested"]["later 600"].update(0).data == {"key 600": "600"}


def rows_of(path: Path) -> int:
    with recording.open(path) as opened:
        return sum(stream.rows for server in opened.values() for stream in server.values())


def updates_of(recorder: recording.Recorder) -> int:
    return next(each.updates for each in recorder.stats().streams if each.stream == "shots")


@pytest.mark.parametrize("swmr", [False, True])
def test_texts_are_rows_of_bytes(tmp_path: Path, swmr: bool) -> None:
    texts = ["a", "", "é"]
    write_all(tmp_path / "r.h5", [{"t": text, "j": None} for text in texts], swmr=swmr)
    with h5py.File(tmp_path / "r.h5") as file:
        group = file["laser/shots"]
        assert (group["t"].attrs["form"], "t.lengths" in group) == (
            ("ragged text", True) if swmr else ("text", False)
        )
        if swmr:
            assert group["t"][:].tobytes() == "aé".encode()
            assert group["t.lengths"][:].tolist() == [[1], [0], [2]]
    with recording.open(tmp_path / "r.h5") as opened:
        assert opened["laser"]["shots"]["t"][:] == texts
        assert opened["laser"]["shots"]["j"][0] is None
