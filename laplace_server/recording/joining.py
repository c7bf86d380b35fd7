"""Rows of several streams put together by a key, such as the number of the shot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from laplace_server.client.updates import Update
from laplace_server.recording.key_reader import ABSENT
from laplace_server.recording.stream_reader import Stream

MISSING = -1
"""In place of a row, where a stream has none of this key."""


class Joined:
    """Which rows of several streams have the same key; a row here is one key.

    Made by ``join``. Where the keys of a stream go back, since a counter began anew, another run
    begins: keys are the same where their run is, too.

        shots = join({"image": camera["images"], "energy": meter["shots"]}, key="shot")
        images = camera["images"]["image"]
        for key, rows in zip(shots.keys, shots.rows["image"]):
            if rows != MISSING:
                print(key, images[rows].mean())
    """

    def __init__(self, sources: Mapping[str, Stream], runs: Any, keys: Any, rows: dict[str, Any]):
        self._sources = dict(sources)
        self.runs: Any = runs
        """An array: the run of each key, from 0 on."""
        self.keys: Any = keys
        """An array: all keys that a stream has, in order."""
        self.rows: dict[str, Any] = rows
        """By name of the stream, an array: which row has each key, MISSING where none has."""

    @property
    def complete(self) -> Joined:
        """Those keys alone that all streams have."""
        whole = np.ones(len(self.keys), bool)
        for rows in self.rows.values():
            whole &= rows != MISSING
        chosen = {name: rows[whole] for name, rows in self.rows.items()}
        return Joined(self._sources, self.runs[whole], self.keys[whole], chosen)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[tuple[int, dict[str, Update]]]:
        """Yield each key with the updates of the streams that have it, by name."""
        for place, key in enumerate(self.keys.tolist()):
            yield (
                key,
                {
                    name: self._sources[name].update(int(rows[place]))
                    for name, rows in self.rows.items()
                    if rows[place] != MISSING
                },
            )

    def __repr__(self) -> str:
        return f"<{len(self)} keys of {', '.join(self.rows)}>"


def join(sources: Mapping[str, Stream], key: str | Mapping[str, str]) -> Joined:
    """Put rows with the same key together.

    Of the same key twice in a run of a stream, the first counts. Rows without it, and with what is
    no whole number, are left out.

    Args:
        sources: streams of an open recording, or of several, by name.
        key: what it is called; a mapping by name of the source where they call it differently.

    Raises:
        KeyError: a stream has no such key.
        TypeError: it is an array or a list in each row.
    """
    found = {
        name: _keys(name, stream, key if isinstance(key, str) else key[name])
        for name, stream in sources.items()
    }
    everything = np.concatenate([keys for keys, _ in found.values()] or [np.zeros((0, 2), "i8")])
    together, inverse = np.unique(everything, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    rows, begin = {}, 0
    for name, (keys, places) in found.items():
        where = np.full(len(together), MISSING)
        # Backwards, so that the first of several is the last that is written.
        where[inverse[begin : begin + len(keys)][::-1]] = places[::-1]
        rows[name] = where
        begin += len(keys)
    return Joined(sources, together[:, 0], together[:, 1], rows)


def _keys(name: str, stream: Stream, key: str) -> tuple[Any, Any]:
    """Return (run, key) of each row that has one, and which rows these are."""
    values = stream[key]
    if len(values.shape) > 1:
        raise TypeError(f"{key!r} of {name!r} is no whole number: {values!r}.")
    if values.regular and values.dtype is not None and values.dtype.kind in "iu":
        keys, places = np.asarray(values), np.arange(len(values))
    else:
        pairs = [(row, _whole(value)) for row, value in enumerate(values[:])]
        kept = [(row, value) for row, value in pairs if value is not None]
        places = np.array([row for row, _ in kept], "i8")
        keys = np.array([value for _, value in kept], "i8")
    keys = keys.astype("i8", copy=False)
    back = np.diff(keys, prepend=keys[:1]) < 0
    return np.stack([np.cumsum(back), keys], axis=1), places


def _whole(value: Any) -> int | None:
    if value is ABSENT or isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return int(value)
    return None
