"""Recordings read back: their servers, and all files that they have."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import h5py

from laplace_server.recording.attributes import text_of
from laplace_server.recording.part_names import paths_of
from laplace_server.recording.stream_part import StreamPart, members_of
from laplace_server.recording.stream_reader import Stream
from laplace_server.recording.told_errors import check_open, not_among

_CHANCES, _PAUSE_S = 8, 0.05


class Server(Mapping[str, Stream]):
    """A server of a recording, and its streams by name."""

    def __init__(self, groups: list[h5py.Group]) -> None:
        self._groups = groups
        self._name = text_of(groups[-1].attrs, "name")
        self._address = str(groups[-1].attrs["address"])
        parts: dict[str, list[StreamPart]] = {}
        for group in groups:
            for _, each in members_of(group):
                if "stream" in each.attrs:
                    part = StreamPart(each)
                    parts.setdefault(part.name, []).append(part)
        self._streams = {name: Stream(each) for name, each in parts.items()}

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self._name

    @property
    def address(self) -> str:
        """Where it was."""
        return self._address

    @property
    def info(self) -> dict[str, Any]:
        """What INFO told of it last; {} where it was never told."""
        check_open(self._groups[-1])
        told: dict[str, Any] = json.loads(self._groups[-1]["info"][()] or b"{}")
        return told

    def info_of(self, epoch: int) -> dict[str, Any]:
        """Return what INFO told in that life of the server; else what it told last."""
        check_open(self._groups[-1])
        for group in reversed(self._groups):
            told = group.get("infos")  # files of an earlier version have none
            for text in reversed(told[:] if isinstance(told, h5py.Dataset) else ()):
                info: dict[str, Any] = json.loads(text)
                if info.get("epoch") == epoch:
                    return info
        return self.info

    def __getitem__(self, stream: str) -> Stream:
        if stream not in self._streams:
            raise not_among(stream, "the server", self._streams)
        return self._streams[stream]

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def __repr__(self) -> str:
        return f"<server {self.name!r}: {', '.join(self._streams)}>"


class Recording(Mapping[str, Server]):
    """All files of a recording; close it, or use it as a context manager."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        for chance in reversed(range(_CHANCES)):
            try:
                self._open(path)
                return
            except (OSError, KeyError, RuntimeError):
                # While it is written, a commit may come between two looks at its tables.
                if not chance or not os.path.exists(path):
                    raise
                time.sleep(_PAUSE_S)

    def _open(self, path: str | os.PathLike[str]) -> None:
        with contextlib.ExitStack() as stack:
            files = [
                stack.enter_context(h5py.File(each, "r", locking=False)) for each in paths_of(path)
            ]
            self.files = [each.filename for each in files]
            """Their paths, in order."""
            numbers = [int(each.attrs["part"]) for each in files]
            self.missing_parts = sorted(set(range(1, numbers[-1] + 1)) - set(numbers))
            """Numbers of files that are not there any more."""
            self._servers = {name: Server(each) for name, each in _by_server(files).items()}
            self._files = stack.pop_all()

    def close(self) -> None:
        """Close the files: what was not read cannot be read any more."""
        self._files.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getitem__(self, server: str) -> Server:
        if server not in self._servers:
            raise not_among(server, "the recording", self._servers)
        return self._servers[server]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

    def __repr__(self) -> str:
        return f"<recording of {', '.join(self._servers) or 'nothing yet'}>"


def _by_server(files: list[h5py.File]) -> dict[str, list[h5py.Group]]:
    """Return the groups of each server: what is at one address is one, under its first name."""
    names: dict[str, str] = {}
    found: dict[str, list[h5py.Group]] = {}
    for file in files:
        for name, group in members_of(file):
            address = str(group.attrs["address"])
            if address not in names:
                while name in found:  # another one's, in another file
                    name += "'"
                names[address] = name
            found.setdefault(names[address], []).append(group)
    return found
