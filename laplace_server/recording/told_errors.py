"""What HDF5's errors mean to who reads a recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from laplace_server.wire.extras import how_to_install

_MOST_NAMES = 20


def check_open(thing: h5py.Group | h5py.Dataset) -> None:
    """Raise ValueError where the recording is closed."""
    if not thing:
        raise ValueError("the recording is closed: what was not read cannot be read any more.")


@contextmanager
def reading(dataset: h5py.Dataset) -> Iterator[None]:
    """Say what is missing where values cannot be read because of that.

    Raises:
        ValueError: the recording is closed.
        OSError: they cannot be read.
    """
    check_open(dataset)
    try:
        yield
    except OSError as error:
        created = dataset.id.get_create_plist()
        filters = [created.get_filter(n)[0] for n in range(created.get_nfilters())]
        if all(map(h5py.h5z.filter_avail, filters)):
            raise
        raise OSError(
            f"{dataset.name} in {dataset.file.filename} is compressed by lz4, which takes "
            f"hdf5plugin to read. {how_to_install('record')}"
        ) from error


def not_among(name: Any, whose: str, names: Iterable[str]) -> KeyError:
    """Return the error of a name that something does not have, with those that it has."""
    there = list(names)
    more = "" if len(there) <= _MOST_NAMES else f" and {len(there) - _MOST_NAMES:,} more"
    return KeyError(f"{name!r}: {whose} has {', '.join(there[:_MOST_NAMES]) or 'nothing'}{more}")
