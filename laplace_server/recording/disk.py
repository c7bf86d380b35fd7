"""What a file that is written needs of the system: bytes at a place, and a name."""

from __future__ import annotations

import os
from pathlib import Path


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
