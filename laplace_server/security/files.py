"""Files that others must not read or change: looked at before they are believed.

On POSIX, by their permissions. Windows has no such bits: who may read a file there follows from the
folder it is in.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from contextlib import suppress
from pathlib import Path

from laplace_server.errors import KeyFileError

_AS_IT_IS = getattr(os, "O_BINARY", 0)  # Windows would translate the ends of lines
_NOT_WAITING = getattr(os, "O_NONBLOCK", 0)  # for the other end, should it be a pipe

_LARGEST = 64 << 10  # bytes; a certificate has some hundred


def make_folder(folder: Path) -> None:
    """Make a folder for its owner alone, unless it is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise failed("make", folder, error) from None


def make_folder_and_above(folder: Path) -> None:
    """Make a folder, and what is missing above it, for their owner alone."""
    for each in (*reversed(folder.parents), folder):
        if not each.is_dir():
            make_folder(each)


def status_of_folder(folder: Path) -> os.stat_result:
    """Return what the system says of a folder.

    Raises:
        KeyFileError: it is none, or is away.
    """
    try:
        found = folder.stat()
    except OSError as error:
        raise failed("read", folder, error) from None
    if not stat.S_ISDIR(found.st_mode):
        raise KeyFileError(f"{folder} is no folder.")
    return found


def check_folder(folder: Path) -> None:
    """Raise KeyFileError if it is no folder, or if others may put keys into it."""
    check_kept(folder, status_of_folder(folder))


def check_file(path: Path) -> None:
    """Raise KeyFileError if others may change a file in a folder of keys, or if it is away."""
    try:
        found = path.stat()
    except OSError as error:
        raise failed("read", path, error) from None
    check_kept(path, found)


def check_kept(path: Path, found: os.stat_result) -> None:
    """Raise KeyFileError if others may change a folder of keys, or a file in one."""
    _check_not_open_to_all(path, found)
    _check_owner(path, found)


def files_in(folder: Path, ending: str) -> list[Path]:
    """Return what a folder, where it is one, has with that ending."""
    return [path for path in entries_of(folder) if path.name.endswith(ending)]


def entries_of(folder: Path) -> list[Path]:
    """Return what is in a folder, but for what systems hide there; nothing, where it is missing."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise failed("read", folder, error) from None


def read_text(path: Path, kept: bool = False) -> tuple[str, os.stat_result]:
    """Read a small file that not everybody may change, and what the system says of it.

    Args:
        kept: it is in a folder of keys, where nothing may be somebody else's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _NOT_WAITING | _AS_IT_IS)
    except OSError as error:
        raise failed("read", path, error) from None
    try:
        # What is open is checked, so that it cannot be another file that is read then.
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise KeyFileError(f"{path} is no file.")
        _check_not_open_to_all(path, found)
        if kept:
            _check_owner(path, found)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise failed("read", path, error) from None
    finally:
        os.close(descriptor)
    if len(content) > _LARGEST:
        raise KeyFileError(f"{path} is larger than any certificate.")
    try:
        return content.decode("utf-8-sig"), found
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is no text.") from None


def write_new(path: Path, text: str, mode: int) -> None:
    """Make a file that is never, not for a moment, open to more than ``mode`` allows."""
    try:
        # With O_EXCL, no link that somebody has put there is followed either.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _AS_IT_IS, mode)
    except FileExistsError:
        raise KeyFileError(f"{path} is there already; nothing is overwritten.") from None
    except OSError as error:
        raise failed("write", path, error) from None
    try:
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            if sys.platform != "win32":
                # The umask may have taken the owner's own right to read it.
                os.fchmod(descriptor, mode & (os.fstat(descriptor).st_mode | 0o600))
            file.write(text)
    except BaseException as error:
        with suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise failed("write", path, error) from None
        raise


def check_private(path: Path, found: os.stat_result) -> None:
    """Raise KeyFileError if others than its owner may read or change a file."""
    if sys.platform != "win32" and found.st_mode & 0o077:
        raise KeyFileError(
            f"{path} is open to others than its owner (mode {stat.S_IMODE(found.st_mode):04o}), "
            f"and holds a secret key. If nobody has read it: chmod 600 {shlex.quote(str(path))}"
        )


def _check_not_open_to_all(path: Path, found: os.stat_result) -> None:
    if sys.platform != "win32" and found.st_mode & 0o002:
        raise KeyFileError(
            f"{path} can be changed by everybody (mode {stat.S_IMODE(found.st_mode):04o}), so "
            f"its keys may be anybody's: chmod o-w {shlex.quote(str(path))}"
        )


def _check_owner(path: Path, found: os.stat_result) -> None:
    if sys.platform != "win32" and found.st_uid not in (0, os.geteuid()):
        raise KeyFileError(
            f"{path} belongs to another user (uid {found.st_uid}), who may change it. In a folder "
            "of keys everything has to belong to the user that runs this, or to root."
        )


def failed(verb: str, path: Path, error: OSError) -> KeyFileError:
    """Return what to raise where the system refuses."""
    return KeyFileError(f"Cannot {verb} {path}: {error.strerror or error}.")
