"""How values are stored: arrays compressed or not, texts for live readers or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from laplace_server.wire.extras import how_to_install

Compression: TypeAlias = Literal["lz4", "gzip", "none"]
"""Bitshuffle with lz4, which takes hdf5plugin to read, too; gzip; or nothing."""


class Storage(NamedTuple):
    """How a recording's values are stored."""

    compressed: Mapping[str, Any]
    """What ``create_dataset`` takes for large arrays."""
    chunk_bytes: int = 32 << 10
    """Of values that are not large, those of several rows together."""
    swmr: bool = False
    """Texts as rows of bytes: readers that keep a file open cannot follow HDF5's own ones."""


def dataset_options(compression: Compression) -> Mapping[str, Any]:
    """Return what ``create_dataset`` takes.

    Raises:
        ValueError: there is no such compression.
        ImportError: hdf5plugin is missing.
    """
    if compression not in get_args(Compression):
        words = ", ".join(map(repr, get_args(Compression)))
        raise ValueError(f"'compression' must be one of {words}, not {compression!r}.")
    if compression == "none":
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError as error:
        raise ImportError(
            f"Compression 'lz4' needs hdf5plugin, which cannot be imported ({error}); 'gzip' and "
            f"'none' do not. {how_to_install('record')}",
            name="hdf5plugin",
        ) from error
    return dict(hdf5plugin.Bitshuffle(cname="lz4"))
