"""The interface of a suite: peers that do the same work, rows of work, and what is told of them."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from benchmarks.common.bars import Bar
from benchmarks.common.figures import Figures, Results
from benchmarks.common.plots import Plot


@dataclass(frozen=True)
class Peer:
    """A way to do the work, to compare."""

    name: str
    module: str = ""
    """Its module in the suite's folder ``peers``; empty: it is compiled."""
    colour: str = ""
    """In plots; empty: that of all the others."""
    over: str = ""
    """What a compiled one works over; empty: libzmq."""

    package: ClassVar[str]
    """The folder ``peers``, as a package."""

    def load(self) -> ModuleType:
        """Import the module.

        Raises:
            ImportError: what it needs is not installed.
        """
        return importlib.import_module(f"{self.package}.{self.module}")

    def why_not(self, work: Any) -> str:
        """Why this peer cannot do the work; empty if it can."""
        if not self.module:
            return ""
        try:
            cannot: dict[str, str] = self.load().CANNOT
        except ImportError as error:
            return f"not installed here: {error}"
        return next((reason for what, reason in cannot.items() if getattr(work, what)), "")

    def version(self) -> str:
        """Version of what is measured."""
        if not self.module:
            return self.over or "libzmq of pyzmq " + importlib.metadata.version("pyzmq")
        try:
            module = self.load()
        except ImportError:
            return "not installed"
        return getattr(module, "REQUIREMENT", "") or importlib.metadata.version("laplace-server")


AnyRow = TypeVar("AnyRow", bound="Row")
AnyPeer = TypeVar("AnyPeer", bound=Peer)


@dataclass(frozen=True)
class Row:
    """Work that some of the peers are given."""

    key: str
    title: str
    work: Any
    """An object of the suite's class, with the fields that a peer's CANNOT may name."""
    kind: str
    """Which of the suite's functions measures it."""
    peers: tuple[str, ...]
    short: bool = False
    """Whether it is also in the short run."""

    def only(self: AnyRow, peers: Iterable[str]) -> AnyRow:
        """Return the row for these peers alone."""
        return replace(self, peers=tuple(name for name in self.peers if name in peers))


@dataclass(frozen=True)
class Suite(Generic[AnyPeer, AnyRow]):
    """A kind of work: who does it, what is measured, and how it is told."""

    peers: Mapping[str, AnyPeer]
    rows: Sequence[AnyRow]
    kinds: Mapping[str, Callable[[AnyPeer, AnyRow, float], Figures]]
    """Functions that measure a row with a peer once, for so many seconds, by the row's kind."""
    needed: tuple[str, ...]
    """Those that have to work; of the others, any may be missing or fail."""
    short_peers: tuple[str, ...]
    """Who is in the short run."""
    bars: tuple[Bar, ...]
    plots: tuple[Plot, ...]
    figure_of: Callable[[AnyRow], str]
    """Name of the figure that a row is about."""
    unit_of: Callable[[AnyRow, str], str]
    """What a report calls a figure of a row."""
    tables: Callable[[Results], list[str]]
    """Lines of Markdown with all the rows that there are figures for."""
    preface: str = ""
    """What the report says of this suite before all else."""

    def measure(self, row: AnyRow, peer: str, seconds: float) -> Figures:
        """Measure a row with a peer once.

        Raises:
            Exception: the peer failed, or did not do the work right.
        """
        return self.kinds[row.kind](self.peers[peer], row, seconds)


AnySuite = Suite[Any, Any]


def find(suites: Sequence[AnySuite], key: str) -> tuple[AnySuite, Row]:
    """Return the row with this key, and its suite."""
    return next((suite, row) for suite in suites for row in suite.rows if row.key == key)
