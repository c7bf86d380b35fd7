"""How a recorder is shown: on a terminal, or as lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from laplace_server.cli.shown import printable, rate
from laplace_server.wire.sizes import size_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from laplace_server.recording import RecorderStats

_RATE_S = 3.0


class RecorderView(Protocol):
    """Shows what a recorder does."""

    period_s: float

    def show(self, stats: RecorderStats) -> None:
        """Show what there is; called every ``period_s``."""

    def close(self, stats: RecorderStats) -> None:
        """Show the end."""


class Rates:
    """How much came in the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, dict[tuple[str, str], int]]] = deque()

    def take(self, stats: RecorderStats) -> None:
        """Look at the counters."""
        now = time.monotonic()
        counts = {(each.address, each.stream): each.updates for each in stats.streams}
        self._samples.append((now, stats.written, counts))
        while now - self._samples[0][0] > _RATE_S and len(self._samples) > 2:
            self._samples.popleft()

    def _seconds(self) -> float:
        return max(1e-3, self._samples[-1][0] - self._samples[0][0])

    @property
    def bytes(self) -> float:
        """Written per second."""
        return (self._samples[-1][1] - self._samples[0][1]) / self._seconds()

    def of(self, address: str, stream: str) -> float:
        """Updates per second."""
        where = address, stream
        first, last = self._samples[0][2].get(where, 0), self._samples[-1][2].get(where, 0)
        return (last - first) / self._seconds()


class LineView:
    """Prints a line each second."""

    period_s = 1.0

    def __init__(self) -> None:
        self._rates = Rates()
        self._troubles: dict[str, Trouble] = {}
        self._paused: str | None = None

    def show(self, stats: RecorderStats) -> None:
        """Print a line, and what is new of troubles on stderr."""
        self._rates.take(stats)
        updates = sum(each.updates for each in stats.streams)
        total = sum(self._rates.of(each.address, each.stream) for each in stats.streams)
        print(f"{counted(updates)}  {rate(total)}  {_disk(stats, self._rates)}", flush=True)
        self._tell(stats)
        now = {each.place for each in _troubles(stats)}
        for place, trouble in list(self._troubles.items()):
            if place not in now:
                del self._troubles[place]
                if trouble.address not in stats.troubles:  # else it is told of all its streams
                    _say(f"{place} is followed again.")

    def close(self, stats: RecorderStats) -> None:
        """Print the summary."""
        self._tell(stats)
        print(summary(stats), flush=True)

    def _tell(self, stats: RecorderStats) -> None:
        for each in _troubles(stats):
            if self._troubles.get(each.place) != each:
                self._troubles[each.place] = each
                _say(f"{each.place} is not followed: {printable(each.why)}")
        if stats.paused is not None and stats.paused != self._paused:
            _say(f"nothing is written: {printable(stats.paused)}")
        self._paused = stats.paused


class TerminalView:
    """Keeps one region of the terminal up to date."""

    period_s = 0.5

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._rates = Rates()
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    def show(self, stats: RecorderStats) -> None:
        """Draw the region anew."""
        self._rates.take(stats)
        self._live.update(self._drawn(stats), refresh=True)

    def close(self, stats: RecorderStats) -> None:
        """Leave the last state on the terminal, and the summary below."""
        self.show(stats)
        self._live.stop()
        self._console.print(summary(stats), soft_wrap=True)

    def _drawn(self, stats: RecorderStats) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False)
        for header in ("server", "stream"):
            table.add_column(header)
        for header in ("updates", "rate", "lost"):
            table.add_column(header, justify="right")
        for each in stats.streams:
            table.add_row(
                Text(printable(each.server)),
                Text(printable(each.stream)),
                f"{each.updates:,}",
                rate(self._rates.of(each.address, each.stream)),
                Text(f"{each.lost:,}", "bold red" if each.lost else ""),
            )
        lines = [Text(f"{place}: {printable(why)}", "yellow") for place, _, why in _troubles(stats)]
        if stats.paused is not None:
            lines.append(Text(f"nothing is written: {printable(stats.paused)}", "bold red"))
        title = Text(f"Recording to {stats.path} (Ctrl-C ends it)", "bold")
        return Group(title, table, Text(_disk(stats, self._rates)), *lines)


def summary(stats: RecorderStats) -> str:
    """Return the last line of a recorder."""
    updates = sum(each.updates for each in stats.streams) - stats.unwritten
    lost = sum(each.lost for each in stats.streams)
    unwritten = f"{stats.unwritten:,} not written, " if stats.unwritten else ""
    files = "" if stats.files == 1 else f", {stats.files} files"
    return (
        f"{counted(updates)} recorded, {unwritten}{lost:,} lost, "
        f"{size_text(stats.written)} written{files}; the last is {stats.path}."
    )


def counted(updates: int) -> str:
    """Return the number of updates with its noun."""
    return f"{updates:,} update{'' if updates == 1 else 's'}"


def _disk(stats: RecorderStats, rates: Rates) -> str:
    lost = sum(each.lost for each in stats.streams)
    text = f"lost {lost:,}  {size_text(stats.written)}, {size_text(rates.bytes)}/s"
    if stats.free is not None:
        text += f"  {size_text(stats.free)} free"
        if rates.bytes > 0:
            text += f", {duration(stats.free / rates.bytes)} left"
    return text


class Trouble(NamedTuple):
    """Why a server or one of its streams is not followed."""

    place: str
    address: str
    why: str


def _troubles(stats: RecorderStats) -> list[Trouble]:
    found = [Trouble(address, address, why) for address, why in stats.troubles.items()]
    for each in stats.streams:
        if each.trouble is not None and each.address not in stats.troubles:
            place = f"{printable(each.stream)} of {each.address}"
            found.append(Trouble(place, each.address, each.trouble))
    return found


def never_followed(stats: RecorderStats) -> list[str]:
    """Return a text for each server or stream that is not followed and of which nothing came."""
    with_updates = {each.address for each in stats.streams if each.updates}
    with_updates |= {
        f"{printable(each.stream)} of {each.address}" for each in stats.streams if each.updates
    }
    return [
        f"nothing has come of {each.place}: {printable(each.why)}"
        for each in _troubles(stats)
        if each.place not in with_updates
    ]


def _say(text: str) -> None:
    sys.stderr.write(f"laplace-server: {text}\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Return a time in the unit that fits: ``12 min``."""
    for unit, most in (("s", 60), ("min", 60), ("h", 48)):
        if seconds < most:
            return f"{seconds:.0f} {unit}"
        seconds /= most if unit != "h" else 24
    return f"{seconds:,.0f} days"
