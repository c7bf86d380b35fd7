"""The files of one recording: run.h5, run-0002.h5, and so on."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import h5py

_CHANCES, _PAUSE_S = 2, 0.02
_NUMBERED = re.compile(r"(.*)-(\d{4,})")


def part_path(path: Path, number: int) -> Path:
    """Return the path of a file of a recording; the first one has that of the recording."""
    return path if number == 1 else path.with_name(f"{path.stem}-{number:04}{path.suffix}")


def paths_of(path: str | os.PathLike[str]) -> list[Path]:
    """Return all files of the recording that a file belongs to, in order.

    Others beside it that cannot be opened are taken for no part of it.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not one of a recording.
    """
    given = Path(path)
    recording, own = marks_of(given)
    if recording is None:
        raise ValueError(f"{given} was not written by laplace-server.")
    found = {own: given}
    for each in candidates(given):
        if each != given:
            with contextlib.suppress(OSError):
                named, number = _marks_of_another(each)
                if named == recording:
                    found.setdefault(number, each)
    return [found[number] for number in sorted(found)]


def candidates(path: Path) -> list[Path]:
    """Return the files whose names say that they may belong to the same recording."""
    numbered = _NUMBERED.fullmatch(path.stem)
    stem = numbered[1] if numbered else path.stem
    found = []
    for each in path.parent.iterdir():
        other = _NUMBERED.fullmatch(each.stem)
        if each.suffix == path.suffix and stem in (each.stem, other and other[1]):
            found.append(each)
    return found


def _marks_of_another(path: Path) -> tuple[str | None, int]:
    """Return the same as ``marks_of``; a file that is written just now is tried again."""
    for _ in range(_CHANCES):
        with contextlib.suppress(OSError):
            return marks_of(path)
        time.sleep(_PAUSE_S)
    return marks_of(path)


def marks_of(path: Path) -> tuple[str | None, int]:
    """Return which recording a file belongs to, and its number there.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            recording = file.attrs.get("recording")
            return recording, int(file.attrs.get("part", 0))
    except OSError as error:
        if error.errno is not None:  # of the system
            raise type(error)(error.errno, os.strerror(error.errno), str(path)) from error
        raise OSError(f"{path} is no HDF5 file that can be read: {error}") from error
