"""A device's description as a table, and its methods, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from laplace_server.cli.shown import cut, printable

if TYPE_CHECKING:
    from laplace_server.description import DeviceDescription, KeyDescription

_HEADINGS = ("type", "shape", "unit", "limits", "SET", "moves while", "text")


def described_lines(device: DeviceDescription) -> Iterator[str]:
    """Yield lines with what the device says of its keys and methods, cut to a terminal."""
    tables = {"data": device.keys, **{f"stream {name}": of for name, of in device.streams.items()}}
    for title, keys in tables.items():
        if keys:
            yield ""
            yield from map(cut, _table(title, keys))
    if device.check_limits:
        yield "A SET outside of the limits is refused."
    if device.when_moving == "busy":
        yield "A SET on an axis that moves is refused."
    if device.methods:
        yield ""
        yield "methods"
        for method in device.methods.values():
            yield cut(printable(f"  {method}"))
            for line in method.text.splitlines()[:1]:
                yield cut(printable(f"      {line}"))


def _table(title: str, keys: Mapping[str, KeyDescription]) -> Iterator[str]:
    """Yield a table of all columns in which anything stands."""
    rows: list[tuple[str, ...]] = [(title, *_HEADINGS)]
    rows += [tuple(map(printable, (key, *_cells(each)))) for key, each in keys.items()]
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _cells(key: KeyDescription) -> tuple[str, ...]:
    shape = ""
    if key.shape is not None:
        lengths = ["any" if length is None else str(length) for length in key.shape]
        shape = " x ".join(lengths) or "scalar"
    limits = [f"{low:g} to {high:g}" for low, high in key.limits or ()]
    return (
        key.dtype or "",
        shape,
        key.unit or "",
        ", ".join(limits),
        "yes" if key.writable else "",
        key.moving or "",
        key.text,
    )
