"""Reading a server's folder of keys while somebody may change it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from laplace_server.security.survey import ALLOWED, Survey

_TRIES = 3  # to read a folder while somebody changes it


class Reading:
    """What a folder held at one moment, as far as that could be had while somebody changes it.

    A file that is moved from one role to another has to be seen in one of them, not in neither.
    """

    def __init__(self, folder: Path) -> None:
        for _ in range(_TRIES):
            self.state = state_of(folder)
            self._found: Survey | Exception
            try:
                self._found = Survey(folder)
            except Exception as problem:  # whatever it is: that has been read, too
                self._found = problem
            if state_of(folder) == self.state:
                break

    def result(self) -> Survey:
        """Return what was found; what kept it from being looked at is raised."""
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def state_of(folder: Path) -> tuple[object, ...]:
    """Return what is another value when something in the folder was changed. Reads no file.

    What cannot be looked at is no error here: that is for who reads it then.
    """
    state: list[object] = []
    roles = folder / ALLOWED
    for place in (folder, roles, *_quietly(roles)):
        for path in (place, *_quietly(place)):
            with suppress(OSError):
                found = path.stat()
                times = found.st_mtime_ns, found.st_ctime_ns
                who = found.st_mode, found.st_uid
                state.append((path.name, *times, found.st_size, found.st_ino, *who))
    return tuple(state)


def _quietly(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
