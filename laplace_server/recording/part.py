"""One file of a recording: servers, their streams, and what a reader must know of the whole."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import time
import weakref
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from laplace_server.client.describing import description_of
from laplace_server.description import DeviceDescription, KeyDescription
from laplace_server.errors import LaplaceError
from laplace_server.recording.attributes import tell
from laplace_server.recording.compression import Storage
from laplace_server.recording.ordered_file import OrderedFile
from laplace_server.recording.rows import Rows
from laplace_server.recording.stream_writer import StreamWriter, free_name
from laplace_server.wire.version import package_version

FORMAT = 1
_DATA = "data"
_INFOS_TOGETHER = 16


class Origin(NamedTuple):
    """Where a stream comes from."""

    address: str
    stream: str


class Part:
    """A file that is being written, whole at each commit. One thread uses it.

    Args:
        path: of the file, which must not be there.
        recording: names all files of one recording.
        number: of this one, from 1 on.
        storage: how values are stored.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, recording: str, number: int, storage: Storage) -> None:
        self._file = OrderedFile(path)
        self.path = path
        self.number = number
        self.begun = time.monotonic()
        self._storage = storage
        # Space that has become free is not used again: a commit that moves something must not
        # touch what is read until it is through.
        self._root = h5py.File(self._file, "w", fs_strategy="aggregate")
        self._process = os.getpid()
        _parts.add(self)
        self._servers: dict[str, h5py.Group] = {}
        self._infos: dict[str, Mapping[str, Any]] = {}
        self._all_infos: dict[str, Rows] = {}
        self._described_by: dict[Origin, Mapping[str, Any]] = {}
        self._streams: dict[Origin, StreamWriter] = {}
        attributes = self._root.attrs
        attributes["NX_class"] = "NXroot"
        attributes["creator"] = f"laplace-server {package_version()}"
        attributes["laplace_format"] = FORMAT
        attributes["recording"] = recording
        attributes["part"] = number
        attributes["file_time"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        try:
            self.commit()
        except OSError:
            self.abandon()
            raise

    @property
    def has_rows(self) -> bool:
        """Whether there is anything in it."""
        return any(writer.rows for writer in self._streams.values())

    @property
    def size(self) -> int:
        """Bytes that the file has."""
        return self._file.size

    def stream(self, origin: Origin, info: Mapping[str, Any]) -> StreamWriter:
        """Return what a stream is written with; ``info`` is what INFO told of its server."""
        writer = self._streams.get(origin)
        if writer is None:
            server = self._server(origin.address, info)
            described = _described(origin, info)
            name = free_name(server, origin.stream)
            group = server.create_group(name)
            server.attrs.setdefault("default", name)
            writer = StreamWriter(group, origin.stream, described, self._storage)
            self._streams[origin] = writer
            self._described_by[origin] = info
            # Whoever looks counts the rows by it: a live reader, or one after a kill.
            self._file.write_last(h5py.h5o.get_info(writer.counting.id).addr)
        elif info and self._described_by[origin] is not info:
            self._described_by[origin] = info
            writer.describe(_described(origin, info))
            if self._infos[origin.address] != info:
                self._keep_info(origin.address, info)
        return writer

    def commit(self) -> None:
        """Write what was taken, so that the file is whole and up to date.

        Raises:
            OSError: it cannot be written, or is not where it was; nothing more will be.
        """
        for writer in self._streams.values():
            writer.finish()
        self._root.flush()
        self._file.commit()
        self.check()
        if not self._file.is_in_place():
            self._file.abandon(FileNotFoundError(f"{self.path} was moved or removed"))
            self.check()

    def check(self) -> None:
        """Raise what keeps it from being written, if there is something."""
        if self._file.failure is not None:
            raise self._file.failure

    def close(self) -> None:
        """Commit, and close the file.

        Raises:
            OSError: it cannot be written.
        """
        try:
            self.commit()
            self._root.close()
            self._file.commit()
            self.check()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the file as the last commit has left it."""
        self._file.abandon(OSError("abandoned"))
        with contextlib.suppress(Exception):  # its tables may be of no use any more
            self._root.close()
        self._file.close()

    # ---- servers

    def _server(self, address: str, info: Mapping[str, Any]) -> h5py.Group:
        group = self._servers.get(address)
        if group is None:
            name = free_name(self._root, str(info.get("name") or address))
            group = self._servers[address] = self._root.create_group(name, track_order=True)
            group.attrs["NX_class"] = "NXentry"
            tell(group.attrs, "name", str(info.get("name") or address))
            group.attrs["address"] = address
            group.create_dataset("info", (), h5py.string_dtype())
            self._all_infos[address] = Rows(
                group, "infos", h5py.string_dtype(), together=_INFOS_TOGETHER
            )
            self._keep_info(address, info)
            if len(self._servers) == 1:
                self._root.attrs["default"] = name
        return group

    def _keep_info(self, address: str, info: Mapping[str, Any]) -> None:
        group = self._servers[address]
        text = json.dumps(info)
        group["info"][()] = text
        if info:
            stored = self._all_infos[address]
            stored.write(len(stored), np.array([text], stored.dtype))
        if info.get("name"):
            tell(group.attrs, "name", str(info["name"]))
        for name in ("device", "freedom"):
            if name in info:
                tell(group.attrs, name, info[name])
        self._infos[address] = info


def _described(origin: Origin, info: Mapping[str, Any]) -> Mapping[str, KeyDescription]:
    described = described_by(info, origin.address)
    if described is None:
        return {}
    return described.keys if origin.stream == _DATA else described.streams.get(origin.stream, {})


def described_by(info: Mapping[str, Any], address: str) -> DeviceDescription | None:
    """Return what INFO describes; None where it cannot be read."""
    try:
        return description_of(info, None, address)
    except LaplaceError:
        return None


_parts: weakref.WeakSet[Part] = weakref.WeakSet()


def _close_inherited() -> None:
    """In a forked child, before Python ends: HDF5 would close its file later, by way of Python."""
    for part in list(_parts):
        if part._process != os.getpid():
            with contextlib.suppress(Exception):
                part._root.close()


atexit.register(_close_inherited)
