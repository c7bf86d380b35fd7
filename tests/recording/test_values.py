"""Everything that can be published comes back as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import ORIGIN, Origin, is_same, new_part, updates_of, write_all

import laplace_server.recording as recording
from laplace_server.recording import part_names


def read_back(path: Path) -> list[dict[str, Any]]:
    with recording.open(path) as opened:
        return [update.data for update in opened["laser"]["shots"].updates()]


def nested_list(depth: int) -> Any:
    return [nested_list(depth - 1)] if depth else 1


def nested_dict(depth: int) -> Any:
    return {"a": nested_dict(depth - 1)} if depth else "end"


ROWS: dict[str, list[Any]] = {
    "numbers": [1.5, -0.0, math.nan, math.inf],
    "whole, then not": [0, 1, 2.5, 3, 2**60],
    "not, then whole": [2.5, 3, 2**53 + 1],
    "whole of all sizes": [0, -(2**63), 2**63, 2**64 - 1, 2**64, -(10**300)],
    "bools and numbers": [True, 1, False, 0, 1.0],
    "texts": ["", "é\n", "a\0b", "\ud800", "x" * 100_000],
    "nothing": [None, None],
    "now and then": [None, 1, "text", [1], {"a": 1}, {}, []],
    "lists": [
        [1, 2],
        [1.5, 2],
        [True, False],
        [1, "a", None],
        [],
        [[]],
        [[1, 2], [3, 4]],
        [[1], 2],
    ],
    "lists of many lengths": [[float(i)] * (i % 9 + 1) for i in range(40)],
    "nested": [{"a": {"b": {"c": 1.0, "d": "x"}}, "e": []}, {"a": 1}, {"a": {"b": 2}}],
    "arrays": [np.arange(4).astype(t) for t in ("u1", ">u2", "<i8", "f2", "f4", ">f8", "c8", "?")],
    "arrays of many shapes": [np.ones((i % 7, i % 5 + 1), "u2") for i in range(50)],
    "deep": [
        [[[[[1.0]]]]] * 2,
        np.zeros((1,) * 40),
        nested_list(40),
        nested_list(31),
        {"a": nested_dict(60)},
    ],
    "single arrays": [np.array(5.0), np.array(True), np.array(1 + 2j)],
    "large arrays": [np.full((100, 200), i, "u2") for i in range(5)],
    "very large arrays": [np.full((400, 500), i, "f8") for i in range(3)],
    "arrays in lists": [[np.arange(3), {"a": np.zeros(2), "b": 1}], [1, [np.ones(1)]]],
    "dimensions": [np.zeros((1,) * 8), np.zeros((2, 0, 3))],
}


@pytest.mark.parametrize("stored", ["lz4", "gzip", "none", "swmr"])
@pytest.mark.parametrize("name", ROWS)
def test_values_come_back(tmp_path: Path, name: str, stored: str) -> None:
    datas = [{"x": value, "n": n} for n, value in enumerate(ROWS[name])]
    datas += [{"n": len(datas)}, {}]  # nor are absent keys forgotten
    options = {"swmr": True} if stored == "swmr" else {"compression": stored}
    write_all(tmp_path / "r.h5", datas, **options)
    back = read_back(tmp_path / "r.h5")
    assert all(map(is_same, datas, back)), back
    assert len(back) == len(datas)


@pytest.mark.parametrize(
    "key",
    [
        "seq",
        "epoch",
        "timestamp",
        "ledger",
        "",
        ".",
        "..",
        "a/b",
        "a.b",
        "\0",
        "\ud800",
        "é",
        "x.which",
        "x#2",
    ],
)
def test_any_name_is_a_key(tmp_path: Path, key: str) -> None:
    datas = [{key: 1, "a": {"b": 2}, "x": [1], "a_b": 3}, {key: "text", "x": [1.5, 2.0]}]
    write_all(tmp_path / "r.h5", datas)
    assert all(map(is_same, datas, read_back(tmp_path / "r.h5")))
    with recording.open(tmp_path / "r.h5") as opened:
        assert list(opened["laser"]["shots"][(key,)]) == [1, "text"]


ODD = ["a\0b", "\ud800", "", "/", ".", "..", "é" * 300, "x" * 70_000]


@pytest.mark.parametrize("text", ODD)
def test_any_name_and_description(tmp_path: Path, text: str) -> None:
    """What a server tells of itself does not keep its streams from being recorded."""
    described = {
        "streams": {text: {"a": {"unit": text, "text": text, "limits": [-(10**400), None]}}}
    }
    info = {"name": text, "device": [text], "freedom": 2**70, "description": described}
    part = new_part(tmp_path / "r.h5")
    stream = part.stream(Origin("tcp://127.0.0.1:1", text or "s"), info)
    stream.take(updates_of([{"a": 1}]))
    part.close()
    with recording.open(tmp_path / "r.h5") as opened:
        (server,) = opened.values()
        assert (server.name, server.info) == (text or "tcp://127.0.0.1:1", info)
        assert list(server) == [text or "s"]
        assert server[text or "s"].update(0).data == {"a": 1}


def test_many_keys_and_shapes_take_little_of_the_disk(tmp_path: Path) -> None:
    datas: list[dict[str, Any]] = [{f"key {n}": n for n in range(300)}]
    datas += [{"x": np.ones((n % 20 + 1, n % 7 + 1))} for n in range(300)]
    write_all(tmp_path / "r.h5", datas)
    assert all(map(is_same, datas, read_back(tmp_path / "r.h5")))
    assert (tmp_path / "r.h5").stat().st_size < 10_000_000
    with h5py.File(tmp_path / "r.h5") as file:
        assert sum(name.startswith("x") for name in file["laser/shots"]) < 9


def test_a_key_that_does_not_come_any_more_just_ends(tmp_path: Path) -> None:
    part = new_part(tmp_path / "r.h5")
    stream = part.stream(ORIGIN, {"name": "laser"})
    datas = [{"n": n, **({"a": n / 2, "t": "text"} if n < 3 or n == 8 else {})} for n in range(10)]
    for begin in range(0, 10, 2):
        stream.take(updates_of(datas[begin : begin + 2], first=begin + 1))
        part.commit()
        with recording.open(tmp_path / "r.h5") as opened:
            shots = opened["laser"]["shots"]
            assert all(map(is_same, datas, (each.data for each in shots.updates())))
            assert len(shots["a"]) == len(shots["t"]) == begin + 2
            assert list(shots["a"].present) == ["a" in data for data in datas[: begin + 2]]
            assert shots["a"].regular == all("a" in data for data in datas[: begin + 2])
    part.close()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


@given(
    datas=st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=12),
    sizes=st.lists(st.integers(1, 5), min_size=12, max_size=12),
    swmr=st.booleans(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_data_in_any_batches(
    tmp_path: Path, datas: list[dict[str, Any]], sizes: list[int], swmr: bool
) -> None:
    path = tmp_path / "r.h5"
    path.unlink(missing_ok=True)
    part = new_part(path, swmr=swmr)
    stream = part.stream(ORIGIN, {"name": "laser"})
    waiting = updates_of(datas)
    for size in sizes:
        stream.take(waiting[:size])
        waiting = waiting[size:]
        part.commit()
    part.close()
    back = read_back(path)
    assert len(back) == len(datas)
    assert all(map(is_same, datas, back)), back


def test_what_is_regular_is_a_plain_dataset(tmp_path: Path) -> None:
    datas = [{"e": n / 2, "image": np.full((2, 3), n)} for n in range(5000)]
    write_all(tmp_path / "r.h5", datas)
    with h5py.File(tmp_path / "r.h5") as file:
        group = file["laser/shots"]
        assert group["e"][:].tolist() == [data["e"] for data in datas]
        assert group["image"][-1].tolist() == [[4999] * 3] * 2
        assert group["seq"][:].tolist() == list(range(1, 5001))
        assert group["timestamp"][0] == 1000.125
        assert sorted(group) == ["e", "epoch", "image", "ledger", "seq", "timestamp"]


def test_a_nexus_viewer_finds_what_to_plot(tmp_path: Path) -> None:
    info = {
        "name": "laser",
        "device": "CAMERA",
        "freedom": 0,
        "description": {
            "streams": {"shots": {"image": {"unit": "count", "limits": [0, None], "text": "beam"}}}
        },
    }
    write_all(tmp_path / "r.h5", [{"n": 1, "image": np.zeros((2, 3))}], info=info)
    with h5py.File(tmp_path / "r.h5") as file:
        assert file.attrs["NX_class"] == "NXroot"
        entry = file[file.attrs["default"]]
        assert (entry.attrs["NX_class"], entry.attrs["device"]) == ("NXentry", "CAMERA")
        data = entry[entry.attrs["default"]]
        assert data.attrs["NX_class"] == "NXdata"
        assert list(data.attrs["axes"]) == ["timestamp", ".", "."]
        image = data[data.attrs["signal"]]
        assert image.shape == (1, 2, 3)
        assert (image.attrs["units"], image.attrs["long_name"]) == ("count", "beam")
        assert image.attrs["limits"].tolist() == [[0, math.inf]]


@pytest.mark.parametrize("ragged", [np.zeros(0), "text"])
@pytest.mark.parametrize("turned", [False, True])
def test_names_that_others_need(tmp_path: Path, ragged: Any, turned: bool) -> None:
    """A key may have the name that another one's lengths have."""
    datas = [{"a.lengths": n, "a": ragged, "a.which": [n], "seq": n} for n in range(3)]
    if turned:
        datas = [dict(reversed(each.items())) for each in datas]
    write_all(tmp_path / "r.h5", datas, swmr=isinstance(ragged, str))
    assert all(map(is_same, read_back(tmp_path / "r.h5"), datas))


def test_limits_of_very_many_axes(tmp_path: Path) -> None:
    """HDF5 has no attributes of so many bytes."""
    limits = [[n, n + 1] for n in range(6000)]
    info = {"name": "stage", "description": {"streams": {"shots": {"x": {"limits": limits}}}}}
    write_all(tmp_path / "r.h5", [{"x": [0.5] * 6000}], info=info)
    with recording.open(tmp_path / "r.h5") as opened:
        assert json.loads(opened["stage"]["shots"]["x"].attributes["limits.json"]) == limits


def test_a_file_that_is_written_just_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be opened at that moment, nothing of the recording is left out."""
    paths = [tmp_path / "r.h5", tmp_path / "r-0002.h5"]
    for number, path in enumerate(paths, 1):
        write_all(path, [{"n": number}], number=number)
    marks_of, tried = part_names.marks_of, []

    def at_times(path: Path) -> tuple[str | None, int]:
        tried.append(path)
        if path == paths[1] and tried.count(path) == 1:
            raise OSError("busy")
        return marks_of(path)

    monkeypatch.setattr(part_names, "marks_of", at_times)
    assert part_names.paths_of(paths[0]) == paths
    (tmp_path / "r-0003.h5").write_text("none of it")
    assert part_names.paths_of(paths[1]) == paths


def test_to_xarray(tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    info = {"name": "laser", "description": {"streams": {"shots": {"e": {"unit": "J"}}}}}
    datas = [
        {"e": n / 2, "image": np.full((2, 3), n), "time": n, "mixed": [[1, 2], "text"][n % 2]}
        for n in range(4)
    ]
    write_all(tmp_path / "r.h5", datas, info=info)
    with recording.open(tmp_path / "r.h5") as opened:
        made = opened["laser"]["shots"].to_xarray()
    assert made["e"].values.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert made["e"].attrs == {"units": "J"}
    assert made["image"].sel(time="1970-01-01T00:16:40.250").values.tolist() == [[1] * 3] * 2
    assert made["time_"].values.tolist() == [0, 1, 2, 3]
    assert made["mixed"].values.tolist() == [[1, 2], "text", [1, 2], "text"]
    assert made["seq"].values.tolist() == [1, 2, 3, 4]


def test_gzip_needs_no_plugin(tmp_path: Path) -> None:
    for compression, filters in (("gzip", "gzip"), ("none", None), ("lz4", "unknown")):
        path = tmp_path / f"{compression}.h5"
        write_all(path, [{"image": np.zeros((100, 200))}], compression=compression)
        with h5py.File(path) as file:
            assert file["laser/shots/image"].compression == filters
    with pytest.raises(ValueError, match="must be one of 'lz4', 'gzip', 'none'"):
        write_all(tmp_path / "x.h5", [], compression="zip")
