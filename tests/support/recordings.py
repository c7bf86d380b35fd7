"""What tests of recordings have in common."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

import laplace_server.recording as recording
from laplace_server.client.updates import Update
from laplace_server.recording.compression import Storage, dataset_options
from laplace_server.recording.part import Origin, Part

ORIGIN = Origin("tcp://127.0.0.1:1", "shots")


def new_part(path: Path, compression: Any = "none", number: int = 1, swmr: bool = False) -> Part:
    return Part(path, "tested", number, Storage(dataset_options(compression), swmr=swmr))


def updates_of(datas: list[dict[str, Any]], first: int = 1, epoch: int = 7) -> list[Update]:
    return [Update(seq, epoch, 1000.0 + seq / 8, data, 0) for seq, data in enumerate(datas, first)]


def write_all(path: Path, datas: list[dict[str, Any]], *, info: Any = None, **options: Any) -> None:
    part = new_part(path, **options)
    stream = part.stream(ORIGIN, {"name": "laser"} if info is None else info)
    stream.take(updates_of(datas))
    part.close()


def is_same(one: Any, other: Any) -> bool:
    """Whether values are the same, types too, but for whole numbers that became floats."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        )
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(is_same(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if type(one) is int and type(other) is float:
        return one == other
    return type(one) is type(other) and bool(one == other)


def assert_equal(first_path: Path, again_path: Path) -> None:
    """Compare what is in two recordings, all but when and where they were made."""
    with recording.open(first_path) as one, recording.open(again_path) as other:
        assert list(one) == list(other)
        for name, server in one.items():
            assert set(server) == set(other[name])
            for stream in server.values():
                assert_equal_streams(stream, other[name][stream.name])
                for epoch in set(stream.epoch.tolist()):
                    info, again = server.info_of(epoch), other[name].info_of(epoch)
                    info.pop("streams", None)  # where they were at that moment
                    assert info == {key: again[key] for key in info}


def assert_equal_streams(one: recording.Stream, other: recording.Stream) -> None:
    """Compare two streams of recordings: updates, numbers, times, ledgers, attributes."""
    ledger, again = ([row[:4] for row in each.ledger] for each in (one, other))
    assert ledger == again, (one.name, ledger, again)
    for row, (update, same) in enumerate(zip(one.updates(), other.updates(), strict=True)):
        assert update._replace(data={}) == same._replace(data={})
        assert is_same(update.data, same.data), row
    assert list(one) == list(other)
    for key, values in one.items():
        attributes, others = values.attributes, other[key].attributes
        assert attributes.keys() == others.keys()
        assert all(np.array_equal(each, others[name]) for name, each in attributes.items())
        assert (values.regular, values.dtype) == (other[key].regular, other[key].dtype)
