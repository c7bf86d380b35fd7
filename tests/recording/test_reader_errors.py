"""What is told where a recording, or something of it, cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.recordings import write_all

import laplace_server.recording as recording


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_all(tmp_path / "r.h5", [{"n": n, "text": "x"} for n in range(3)])
    return tmp_path / "r.h5"


def test_names_that_are_there_are_told(path: Path) -> None:
    with recording.open(path) as opened:
        with pytest.raises(KeyError, match="'Laser': the recording has laser"):
            opened["Laser"]
        with pytest.raises(KeyError, match="'t': the server has shots"):
            opened["laser"]["t"]
        with pytest.raises(KeyError, match="'m': the stream has n, text"):
            opened["laser"]["shots"]["m"]


@pytest.mark.parametrize("row", ["x", 1.5, None, ["x"], [1.0], [[1]]])
def test_what_is_no_row(path: Path, row: Any) -> None:
    with recording.open(path) as opened:
        values = opened["laser"]["shots"]["n"]
        with pytest.raises(TypeError, match="rows are a number, a range or a list of numbers"):
            values[row]
        assert values[[]].tolist() == []
        assert values[np.array([True, False, True])].tolist() == [0, 2]


def test_nothing_is_read_once_it_is_closed(path: Path) -> None:
    with recording.open(path) as opened:
        server = opened["laser"]
        stream = server["shots"]
        kept = [stream["n"], stream["text"]]
    assert repr((opened, server, stream, *kept))
    for read in (
        lambda: stream["n"],
        lambda: kept[0][0],
        lambda: kept[0][:],
        lambda: kept[1][0],
        lambda: kept[0].present,
        lambda: kept[1].attributes,
        lambda: stream.seq,
        lambda: stream.ledger,
        lambda: stream.update(0),
        lambda: server.info,
        lambda: server.info_of(1),
    ):
        with pytest.raises(ValueError, match="the recording is closed"):
            read()


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        recording.open(tmp_path / "x.h5")
    assert str(error.value).endswith(f"No such file or directory: {str(tmp_path / 'x.h5')!r}")
    with pytest.raises(OSError, match=r"Is a directory|Permission denied|is no HDF5 file"):
        recording.open(tmp_path)


def test_hdf5plugin_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_all(path, [{"image": np.zeros((200, 200), "u2")}] * 3, compression="lz4")
    program = """
import sys
sys.modules["hdf5plugin"] = None
import laplace_server.recording as recording
with recording.open(sys.argv[1]) as opened:
    image = opened["laser"]["shots"]["image"]
    for read in (lambda: image[0], lambda: opened["laser"]["shots"].update(1)):
        try:
            read()
        except OSError as error:
            print(error)
"""
    environment = {k: v for k, v in os.environ.items() if k != "HDF5_PLUGIN_PATH"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    first, second = done.stdout.splitlines()
    assert first == second
    said = f"/laser/shots/image in {path} is compressed by lz4, which takes hdf5plugin to read. "
    assert first.startswith(said)
