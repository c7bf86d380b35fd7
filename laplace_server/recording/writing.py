"""The files of a recording while it is made: one after the other, whatever becomes of the disk."""

from __future__ import annotations

import contextlib
import errno
import itertools
import shutil
import time
import uuid
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from laplace_server.protocol import LOGGER_NAME
from laplace_server.recording.compression import Storage
from laplace_server.recording.intake import Batch
from laplace_server.recording.part import Part
from laplace_server.recording.part_names import part_path
from laplace_server.wire.logs import Log
from laplace_server.wire.sizes import size_text

WhenFull: TypeAlias = Literal["wait", "remove oldest"]
"""What to do when the disk is full."""

_COMMIT_S = 0.1
_COMMIT_SHARE = 0.2  # of the time is for commits, if that keeps the pause below the longest one
_COMMIT_LONGEST_S = 0.2
_RETRY_S = 0.5
_LAST_TRIES = 5  # at the end
_TOGETHER_BYTES = 4 << 20  # between commits of what a file that failed had not
_AT_ONCE_BYTES = 1 << 20  # batches from here on are written as they come

NOT_WRITTEN = "recorder: %s is not written: %s. It goes on when it can."

log = Log(LOGGER_NAME)


class Limits(NamedTuple):
    """When a new file begins, and how much room is left on the disk."""

    part_bytes: float
    part_s: float
    free_bytes: int
    when_full: WhenFull


class Earlier(NamedTuple):
    """What there is of a recording that goes on."""

    recording: str
    paths: dict[int, Path]
    """Its files, by number."""


class Writing:
    """Writes batches into the recording's files; one thread uses it.

    Batches are kept until they are committed. Where a file cannot be written any more, it stays as
    its last commit left it, and a new one begins with them as soon as that is possible.

    Raises:
        OSError: the first file cannot be made, or is there already.
    """

    def __init__(
        self,
        path: Path,
        storage: Storage,
        limits: Limits,
        earlier: Earlier | None = None,
    ) -> None:
        self._path = path
        self._storage = storage
        self._limits = limits
        self._recording = earlier.recording if earlier else uuid.uuid4().hex
        self.paths = dict(earlier.paths) if earlier else {}
        """Files of this recording, by number."""
        self._number = max(self.paths, default=0)
        self._uncommitted: list[Batch] = []
        self._due = 0.0
        self._closed_bytes = 0
        self.paused: str | None = None
        """Why nothing is written at the moment."""
        self._part: Part | None = self._next_part()

    @property
    def part(self) -> Path:
        """The file that is written, or was last."""
        return self.paths[max(self.paths)]

    @property
    def written(self) -> int:
        """Bytes of all files that this run has made."""
        part = self._part
        return self._closed_bytes + (0 if part is None else part.size)

    @property
    def unwritten(self) -> int:
        """Updates that were taken, and are not on the disk."""
        return sum(len(batch.updates) for batch in list(self._uncommitted))

    def free(self) -> int | None:
        """Bytes that are free on the disk; None where nobody knows."""
        try:
            return shutil.disk_usage(self._path.absolute().parent).free
        except OSError:
            return None

    def take(self, batch: Batch) -> None:
        """Take a batch, which is kept until the next commit."""
        self._uncommitted.append(batch)
        if self._part is not None:
            try:
                _write(self._part, batch)
                self._part.check()
            except OSError as error:
                self._fail(error)

    def step(self) -> int:
        """Commit, begin another file, or try again, when it is time; return the bytes let go."""
        if time.monotonic() < self._due:
            return 0
        released = 0
        if self._part is None:
            released = self._recover()
            self._due = time.monotonic() + _RETRY_S
            if self._part is None:
                return released
        begun = time.monotonic()
        released += self.commit()
        ended = time.monotonic()
        pause = max(_COMMIT_S, (ended - begun) / _COMMIT_SHARE)
        self._due = ended + min(pause, _COMMIT_LONGEST_S)
        return released

    def commit(self) -> int:
        """Bring what was taken to the disk; return how many bytes of memory that were."""
        part = self._part
        if part is None:
            return 0
        try:
            part.commit()
            released = sum(batch.weight for batch in self._uncommitted)
            self._uncommitted.clear()
            if not self._has_room(0):
                self._close(part)
                self._pause(self._no_room())
            elif part.has_rows and (
                part.size >= self._limits.part_bytes
                or time.monotonic() - part.begun >= self._limits.part_s
            ):
                self._close(part)
                self._part = self._next_part()
        except OSError as error:
            self._fail(error)
            return 0
        return released

    def close(self) -> None:
        """Commit and close; what could not be written stays ``unwritten``."""
        self.commit()
        for _ in range(_LAST_TRIES):
            if self._part is None and self._uncommitted:
                self._recover()
                self.commit()
        if self._part is not None:
            try:
                self._close(self._part)
            except OSError as error:
                self._fail(error)

    # ---- files

    def _next_part(self) -> Part:
        number = self._number + 1
        path = part_path(self._path, number)
        for other in itertools.count(number + 1):
            # Further files may have names of an older recording's beside them; the first may not.
            if number == 1 or not path.exists():
                break
            path = part_path(self._path, other)
        part = Part(path, self._recording, number, self._storage)
        self._number = number
        self.paths[number] = path
        return part

    def _close(self, part: Part) -> None:
        self._part = None
        try:
            part.close()
        finally:
            self._closed_bytes += part.size

    def _fail(self, error: OSError) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.abandon()
            self._closed_bytes += part.size
        self._pause(str(error))
        # The system said so before a look at the room did.
        if error.errno == errno.ENOSPC and self._limits.when_full == "remove oldest":
            self._remove_oldest()

    def _pause(self, why: str) -> None:
        if self.paused != why:
            log.error(NOT_WRITTEN, self._path, why)
        self.paused = why

    def _recover(self) -> int:
        """Begin another file with what is not committed; return the bytes let go."""
        if not self._has_room(self._limits.free_bytes // 4):
            return 0
        try:
            self._part = self._next_part()
        except OSError as error:
            self._fail(error)
            return 0
        path = self.part
        # Bit by bit: the disk may have less room than all of it takes.
        waiting, self._uncommitted = self._uncommitted, []
        released = since_commit = 0
        while waiting and self._part is not None:
            since_commit += waiting[0].weight
            self.take(waiting.pop(0))
            if since_commit >= _TOGETHER_BYTES:
                released += self.commit()
                since_commit = 0
        self._uncommitted += waiting
        if self._part is not None:
            log.warning("recorder: %s is written again, into %s.", self._path, path)
            self.paused = None
        return released

    # ---- room

    def _has_room(self, more: int) -> bool:
        """Say whether as much is free as has to be, and ``more``; files may be removed for it."""
        wanted = self._limits.free_bytes + more
        while (free := self.free()) is not None and free < wanted:
            if self._limits.when_full != "remove oldest" or not self._remove_oldest():
                return False
        return True

    def _no_room(self) -> str:
        free, left = self.free(), self._limits.free_bytes
        if free is None or not left:
            return "the disk is full"
        return (
            f"only {size_text(free)} are free on the disk, of which {size_text(left)} are to be "
            "left (free_bytes, or --keep-free)"
        )

    def _remove_oldest(self) -> bool:
        """Remove a file, but not the last one."""
        if len(self.paths) < 2:
            return False
        path = self.paths.pop(min(self.paths))
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        log.warning("recorder: %s is removed, to make room on the disk.", path)
        return True


def _write(part: Part, batch: Batch) -> None:
    stream = part.stream(batch.origin, batch.info)
    stream.take(batch.updates)
    if batch.weight >= _AT_ONCE_BYTES:
        stream.write()
    for each in batch.ended:
        stream.end(each)
