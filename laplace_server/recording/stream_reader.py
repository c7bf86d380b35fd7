"""A stream read back, over all files of a recording."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from laplace_server.client.updates import Update
from laplace_server.recording.key_values import Values, name_of
from laplace_server.recording.ledger import LedgerRow, continued
from laplace_server.recording.stream_part import StreamPart
from laplace_server.recording.told_errors import not_among
from laplace_server.recording.values import Path

_COORDINATES = ("time", "seq", "epoch")


class Stream(Mapping[str, Values]):
    """A stream of a recording: ``stream["image"]``, or ``stream["camera.image"]`` of nested data.

    Updates are rows, in the order they were published.
    """

    def __init__(self, parts: list[StreamPart]) -> None:
        self._parts = parts
        self._name = parts[0].name
        self._ends = np.cumsum([part.rows for part in parts]).tolist()
        paths = dict.fromkeys(path for part in parts for path in part.keys)
        self._paths: dict[str, Path] = {}
        for path in paths:
            name = name_of(path)
            self._paths[json.dumps(path) if name in self._paths else name] = path

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def rows(self) -> int:
        """How many updates it has."""
        return self._ends[-1] if self._ends else 0

    @property
    def seq(self) -> Any:
        """The number of each update."""
        return self._own("seq")

    @property
    def epoch(self) -> Any:
        """Which life of the server each update comes from."""
        return self._own("epoch")

    @property
    def timestamps(self) -> Any:
        """When each was acquired, seconds since 1970."""
        return self._own("timestamp")

    @property
    def times(self) -> Any:
        """The same as NumPy's datetime64, UTC, in microseconds."""
        return np.round(self.timestamps * 1e6).astype("i8").astype("M8[us]")

    @property
    def ledger(self) -> list[LedgerRow]:
        """What was received and what is missing, in order."""
        rows: list[LedgerRow] = []
        for part in self._parts:
            rows = continued(rows, part.ledger())
        return rows

    @property
    def lost(self) -> int:
        """How many updates are known to be missing."""
        return sum(each.last - each.first + 1 for each in self.ledger if each.kind == "lost")

    def updates(self, begin: int = 0, end: int | None = None) -> Iterator[Update]:
        """Yield rows as the updates that they were: data, numbers, times."""
        begin, end, _ = slice(begin, end).indices(self.rows)
        before = 0
        for part in self._parts:
            low, high = max(begin - before, 0), min(end - before, part.rows)
            if low < high:
                yield from part.updates(low, high)
            before += part.rows

    def update(self, row: int) -> Update:
        """Return one row as the update that it was."""
        row = row + self.rows if row < 0 else row
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of {self.rows}")
        at = bisect_right(self._ends, row)
        row -= self._ends[at] - self._parts[at].rows
        return next(self._parts[at].updates(row, row + 1))

    def to_xarray(self) -> Any:
        """Return an xarray.Dataset of the keys that are like arrays, over time.

        Others, such as texts and keys that some updates do not have, are object arrays.

        Raises:
            ImportError: xarray is not installed.
        """
        try:
            import xarray
        except ImportError as error:
            raise ImportError(
                f"to_xarray takes xarray, which cannot be imported ({error}): pip install xarray",
                name="xarray",
            ) from error
        variables = {}
        for name, values in self.items():
            content = np.asarray(values) if values.regular else _objects(values[:])
            inner = [f"{name}_{n}" for n in range(content.ndim - 1)]
            kept = {k: v for k, v in values.attributes.items() if k in ("units", "long_name")}
            variables[f"{name}_" if name in _COORDINATES else name] = (
                ["time", *inner],
                content,
                kept,
            )
        own = {"time": self.times, "seq": ("time", self.seq), "epoch": ("time", self.epoch)}
        return xarray.Dataset(variables, own)

    def _own(self, name: str) -> Any:
        return np.concatenate([part.own(name) for part in self._parts])

    def __getitem__(self, key: str | Path) -> Values:
        path = key if isinstance(key, tuple) else self._paths.get(key, (key,))
        if not any(path in part.keys for part in self._parts):
            raise not_among(key, "the stream", self._paths)
        return Values(path, [(part.rows, part.keys.get(path)) for part in self._parts])

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return f"<stream {self._name!r}: {self.rows} updates, {', '.join(self._paths)}>"


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), object)
    for place, value in enumerate(values):  # at once, lists would be taken for rows
        array[place] = value
    return array
