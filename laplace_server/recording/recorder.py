"""Records streams of several servers into one recording."""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from laplace_server.client.starts import Start, begin_of
from laplace_server.client.stream_source import StreamSource
from laplace_server.protocol import LOGGER_NAME
from laplace_server.recording.compression import Compression, Storage, dataset_options
from laplace_server.recording.following import Following
from laplace_server.recording.intake import Batch, Intake
from laplace_server.recording.part import Origin
from laplace_server.recording.resuming import resumed
from laplace_server.recording.stats import RecorderStats, StreamStats
from laplace_server.recording.writing import Limits, WhenFull, Writing
from laplace_server.wire.logs import Log
from laplace_server.wire.stacks import large_stacks

ENDED_WITHOUT = "recorder: %s"
_STEP_S = 0.05

log = Log(LOGGER_NAME)


class Recorder:
    """Writes streams into a file from ``start()`` to ``close()``; a context manager does both.

        with ClientLHC("tcp://192.168.1.20:5555") as camera:
            with Recorder("run.h5", [(camera, "images")]) as recorder:
                input("Enter ends it. ")

    It goes on whatever becomes of servers and disk, says so in the log (``laplace.server``) and
    ``stats()``, and notes in the file what is missing. docs/recorder.md has the file's format.

    Args:
        path: of the file, which must not be there; further ones are run-0002.h5 and so on.
        sources: pairs of client and stream; or clients, for all streams that their servers have.
            Each has connections of its own, with the keys of its client. What a relay has brought
            to NATS is recorded from there with a NatsDevice of laplace_server.relay for a client.
        start: where streams begin, as for ``ClientLHC.subscribe``; with "oldest", what the servers'
            histories hold is recorded, too.
        compression: of arrays from 16 KiB on: "lz4" (with bitshuffle; readers need hdf5plugin),
            "gzip" or "none".
        part_bytes, part_s: begin another file when one has so many bytes, or after so long.
        when_full: "wait" until there is room, meanwhile updates wait at their servers; or
            "remove oldest", files of this recording go, the last one never.
        free_bytes: of the disk, which are left free.
        max_held_bytes: of memory; beyond it, updates wait at their servers.
        resume: go on with the recording that is there, if there is one, in another file: each
            stream begins behind what that has of it.
        swmr: store texts so that programs that keep the file open, by ``h5py.File(path,
            swmr=True)``, can follow them as all else.

    Raises:
        TypeError, ValueError: an argument is wrong.
        ImportError: h5py or hdf5plugin is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sources: Iterable[StreamSource | tuple[StreamSource, str]],
        *,
        start: Start = "oldest",
        compression: Compression = "lz4",
        part_bytes: float = math.inf,
        part_s: float = math.inf,
        when_full: WhenFull = "wait",
        free_bytes: int = 64 << 20,
        max_held_bytes: int = 256 << 20,
        resume: bool = False,
        swmr: bool = False,
    ) -> None:
        begin_of(start)
        _check_positive(part_bytes=part_bytes, part_s=part_s, max_held_bytes=max_held_bytes)
        if when_full not in ("wait", "remove oldest"):
            raise ValueError(f"'when_full' must be 'wait' or 'remove oldest', not {when_full!r}.")
        self._path = Path(path)
        wanted = [each if isinstance(each, tuple) else (each, None) for each in sources]
        if not wanted:
            raise ValueError("'sources' must have a client, or a pair of client and stream.")
        for client, _ in wanted:
            if not isinstance(client, StreamSource):
                raise TypeError(f"'sources' has clients, or (client, stream), not {client!r}.")
        self._storage = Storage(dataset_options(compression), swmr=swmr)
        self._limits = Limits(part_bytes, part_s, free_bytes, when_full)
        self._resume = resume
        self._intake = Intake(max_held_bytes)
        self._following = Following(wanted, start, self._intake)
        self._counts: dict[Origin, tuple[str, int, int]] = {}  # server's name, updates, bytes
        self._ending = threading.Event()
        self._writing: Writing | None = None
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._problem: BaseException | None = None
        self._closed = True  # there is nothing to close yet
        self._process = os.getpid()

    def start(self) -> None:
        """Begin; once only, like a thread.

        Raises:
            OSError: the file cannot be made, or is there already (FileExistsError); what is to be
                resumed is still written by another recorder.
            ValueError: what is to be resumed was not written by laplace-server.
            RuntimeError: started before.
        """
        if self._writing is not None:
            raise RuntimeError(f"{self!r} was started before.")
        earlier = None
        positions: dict[Origin, tuple[int, int]] = {}
        if self._resume and self._path.exists():
            earlier, positions = resumed(self._path)
        self._writing = Writing(self._path, self._storage, self._limits, earlier)
        self._closed = False
        _everyone.add(self)
        with large_stacks():
            self._thread.start()
        self._following.start(positions)

    def wait_followed(self, timeout: float) -> bool:
        """Wait until each stream is followed, or known not to be; say whether that is so."""
        return self._following.wait_followed(timeout)

    def stats(self) -> RecorderStats:
        """Return what it is doing; from any thread.

        Raises:
            RuntimeError: it was not started.
        """
        writing = self._writing
        if writing is None:
            raise RuntimeError(f"{self!r} was not started.")
        streams = []
        for origin, follower in self._following.followers.items():
            name, updates, size = self._counts.get(origin, (origin.address, 0, 0))
            streams.append(
                StreamStats(
                    name,
                    origin.stream,
                    origin.address,
                    updates,
                    size,
                    follower.lost,
                    follower.trouble,
                )
            )
        paths = dict(writing.paths)
        return RecorderStats(
            path=paths[max(paths)],
            files=len(paths),
            written=writing.written,
            free=writing.free(),
            held=self._intake.held,
            paused=writing.paused if self._problem is None else str(self._problem),
            troubles=self._following.troubles,
            streams=streams,
            unwritten=writing.unwritten,
        )

    def close(self) -> None:
        """Write what has come, and close the file; from any thread, again does nothing.

        Raises:
            OSError: it could not be written; the text says how many updates are not in the file.
        """
        if self._closed:
            return
        self._closed = True
        self._following.end()
        self._ending.set()
        self._thread.join()
        if self._problem is not None:
            raise self._problem

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recorder of {os.fspath(self._path)!r}>"

    # ---- threads

    def _write(self) -> None:
        writing, intake = self._writing, self._intake
        assert writing is not None
        try:
            while True:
                ending = self._ending.is_set()  # then nothing comes any more
                batch = None
                if writing.paused is None:
                    batch = intake.take(0.0 if ending else _STEP_S)
                else:
                    self._ending.wait(_STEP_S)
                if batch is not None:
                    self._count(batch)
                    writing.take(batch)
                elif ending:
                    break
                intake.release(writing.step())
            self._end(writing)
        except BaseException as error:
            log.exception("recorder: %s is not written any more", self._path)
            self._problem = error
        else:
            if writing.unwritten:
                text = f"{writing.unwritten} updates are not in {self._path}: {writing.paused}"
                log.error(ENDED_WITHOUT, text)
                self._problem = OSError(text)

    def _end(self, writing: Writing) -> None:
        while (batch := self._intake.take(0.0)) is not None:  # what waited while it was paused
            self._count(batch)
            writing.take(batch)
        writing.close()

    def _count(self, batch: Batch) -> None:
        name, updates, size = self._counts.get(batch.origin, (batch.origin.address, 0, 0))
        name = str(batch.info.get("name", name))
        self._counts[batch.origin] = name, updates + len(batch.updates), size + batch.weight


def _check_positive(**numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{name!r} must be positive, not {number!r}.")


_everyone: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _close_all() -> None:
    """Files are whole when Python ends."""
    for recorder in list(_everyone):
        if recorder._process == os.getpid():
            with contextlib.suppress(Exception):
                recorder.close()


atexit.register(_close_all)
