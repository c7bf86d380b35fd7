"""What a file that is written needs of the system: bytes at a place, a name, and its writer."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

_CLAIMED_BYTE = 1 << 62  # beyond all files: what readers lock is none of this


def give_name(hidden: Path, path: Path) -> None:
    """Give a file its name.

    Raises:
        FileExistsError: another one has got it meanwhile.
    """
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:  # a disk that has no links
        os.rename(hidden, path)
    else:
        os.unlink(hidden)


if sys.platform == "linux":
    import fcntl

    def claim(descriptor: int) -> None:
        """Mark an open file as being written by this process, until that closes it or ends.

        The system forgets that, too, where the same process reads the file and closes it.
        """
        with contextlib.suppress(OSError):  # there are disks without locks
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _CLAIMED_BYTE)

    def is_claimed(path: Path) -> bool:
        """Say whether another process writes it."""
        with open(path, "rb") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, _CLAIMED_BYTE)
            except OSError as error:
                return error.errno in (errno.EACCES, errno.EAGAIN)
        return False

else:  # where locks of any kind keep HDF5 from reading, as it locks what it opens

    def claim(descriptor: int) -> None:
        """Do nothing."""

    def is_claimed(path: Path) -> bool:
        """Return False: nobody knows."""
        return False


if hasattr(os, "pwrite"):

    def write_at(descriptor: int, address: int, data: memoryview) -> None:
        """Write all of it."""
        while len(data):
            written = os.pwrite(descriptor, data, address)
            data, address = data[written:], address + written

    def read_at(descriptor: int, address: int, size: int) -> bytes:
        """Return what there is, up to so many bytes."""
        return os.pread(descriptor, size, address)

else:  # Windows

    def write_at(descriptor: int, address: int, data: memoryview) -> None:
        """Write all of it."""
        os.lseek(descriptor, address, os.SEEK_SET)
        while len(data):
            data = data[os.write(descriptor, data) :]

    def read_at(descriptor: int, address: int, size: int) -> bytes:
        """Return what there is, up to so many bytes."""
        os.lseek(descriptor, address, os.SEEK_SET)
        return os.read(descriptor, size)
