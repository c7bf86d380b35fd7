"""How a followed stream is shown: on a terminal, as lines, or as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Protocol

from laplace_server.cli.shown import (
    clock,
    duration,
    json_default,
    lines_of,
    printable,
    rate,
    text_of,
)
from laplace_server.client.names import ABSENT, SILENT

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from laplace_server.cli.progress import Progress
    from laplace_server.cli.watch import Watch
    from laplace_server.stream import Update

_LINE = 200  # characters
_LONGEST_PATH = 30
_QUIET_S = 2.0
_SILENCE = (*ABSENT, SILENT)
_NOT_FOLLOWED = "the stream is not followed"


class View(Protocol):
    """Shows a stream."""

    period_s: float
    """How often ``show`` wants to be called, in seconds."""

    def take(self, update: Update) -> None:
        """Get every update."""

    def show(self, progress: Progress, watch: Watch, now: float) -> None:
        """Show what there is."""

    def close(self, progress: Progress) -> None:
        """Show the end."""


def ignore(update: Update) -> None:
    """Take an update and do nothing: ``Progress`` has the newest."""


class LineView:
    """Prints the newest update, once a second at the most."""

    period_s = 0.2
    _line_s = 1.0

    def __init__(self) -> None:
        self._shown = 0
        self._due = 0.0
        self._notices = Notices()

    take = staticmethod(ignore)

    def show(self, progress: Progress, watch: Watch, now: float) -> None:
        """Print a line, if it is time and there is news."""
        self._notices.tell(progress, watch, now)
        if now >= self._due and progress.received > self._shown:
            self._print(progress)
            self._due = now + self._line_s

    def close(self, progress: Progress) -> None:
        """Print what has not been printed, and the summary."""
        if progress.received > self._shown:
            self._print(progress)
        print(progress.summary(), flush=True)

    def _print(self, progress: Progress) -> None:
        update = progress.last
        assert update is not None
        self._shown = progress.received
        line = (
            f"{clock(update.timestamp)}  #{update.seq}  {rate(progress.rate)}  "
            f"{progress.lost_word} {progress.subscription.lost:,}  "
            f"lag {progress.subscription.lag:,}  latency {duration(progress.latency_s)}  "
        )
        line += text_of(update.data, _LINE - len(line))
        print(line if len(line) <= _LINE else f"{line[: _LINE - 3]}...", flush=True)


class JsonView:
    """Prints each update as a line of JSON. Arrays are lists in it, as in the reply to a GET."""

    period_s = 0.05

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._waiting = False
        self._notices = Notices()
        self._encode = json.JSONEncoder(default=json_default).encode

    def take(self, update: Update) -> None:
        """Write the line."""
        line = {
            "stream": self._stream,
            "seq": update.seq,
            "epoch": update.epoch,
            "timestamp": update.timestamp,
            "lost_before": update.lost_before,
            "data": update.data,
        }
        sys.stdout.write(self._encode(line) + "\n")
        self._waiting = True

    def show(self, progress: Progress, watch: Watch, now: float) -> None:
        """Hand over what was written: many lines at once where there are many."""
        self._notices.tell(progress, watch, now)
        if self._waiting:
            sys.stdout.flush()
            self._waiting = False

    def close(self, progress: Progress) -> None:
        """Hand over the rest."""
        sys.stdout.flush()


class Notices:
    """Says on stderr when the server has gone, is back, or was restarted."""

    def __init__(self) -> None:
        self._said: str | None = None  # of one that has gone: why, or nothing
        self._restarts = 0

    def tell(self, progress: Progress, watch: Watch, now: float) -> None:
        """Say it once, and again where there is another reason."""
        gone, why = _absence(progress, watch, now)
        if gone and self._said != why:
            _say(f"{_with_reason(gone, why)}; following goes on when it is back.")
        elif self._said is not None and not gone:
            _say("the server answers again.")
        self._said = why if gone else None
        if progress.restarts != self._restarts:
            self._restarts = progress.restarts
            _say("the server was restarted; its updates count from 1 again.")


def _say(text: str) -> None:
    sys.stderr.write(f"laplace-server: {text}\n")
    sys.stderr.flush()


def _absence(progress: Progress, watch: Watch, now: float) -> tuple[str, str]:
    """Say how the server is not there, and why, where that is known; nothing where it is."""
    trouble = progress.subscription.trouble
    why = printable(trouble or "")
    if progress.subscription.server_ended:
        return "the server has ended", "" if trouble in ABSENT else why
    if watch.is_gone(now):
        since = time.time() - (now - watch.heard)
        return f"no word from the server since {clock(since)[:-4]}", why
    # Somebody said so; of one who says nothing it is not certain yet.
    return (_NOT_FOLLOWED, why) if why and trouble not in _SILENCE else ("", "")


def _with_reason(text: str, why: str) -> str:
    return f"{text}: {why}" if why else text


class TerminalView:
    """Keeps one region of the terminal up to date."""

    period_s = 0.25

    def __init__(self, console: Console, address: str, stream: str) -> None:
        from rich.live import Live

        self._console = console
        self._title = f"Stream {stream!r} of {address} (Ctrl-C ends this)"
        self._last_at = time.monotonic()
        self._shown = 0
        self._live = Live(console=console, auto_refresh=False)
        self._live.start()

    take = staticmethod(ignore)

    def show(self, progress: Progress, watch: Watch, now: float) -> None:
        """Draw the region anew."""
        if progress.received > self._shown:
            self._shown, self._last_at = progress.received, now
        gone, why = _absence(progress, watch, now)
        status = ""
        if gone:
            if gone != _NOT_FOLLOWED:
                gone += f" ({now - watch.heard:,.0f} s ago)"
            status = f"{_with_reason(gone, why)}; waiting for it"
        elif now - self._last_at > _QUIET_S:
            status = f"no update for {now - self._last_at:,.0f} s; {watch.who} answers"
        self._live.update(self._drawn(progress, status), refresh=True)

    def close(self, progress: Progress) -> None:
        """Leave the last state on the terminal, and the summary below."""
        self._live.update(self._drawn(progress, ""), refresh=True)
        self._live.stop()
        self._console.print(progress.summary(), soft_wrap=True)

    def _drawn(self, progress: Progress, status: str) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        def line(text: str, style: str = "") -> Text:
            return Text(text, style=style, no_wrap=True, overflow="ellipsis")

        rows = self._figures(progress)
        told = Text(status or " ", "yellow").wrap(self._console, self._console.width)
        # All must fit: the title, an empty line, the status and the cursor's line, too.
        values = self._values(progress, max(self._console.height - len(rows) - len(told) - 3, 1))
        table = Table.grid(padding=(0, 2))
        names = [name for name, *_ in (*rows, *values)]
        table.add_column(width=min(max(map(len, names)), _LONGEST_PATH), style="dim")
        table.add_column()
        for name, text, style in (*rows, ("", "", ""), *values):
            table.add_row(line(name), line(text, style))
        return Group(line(self._title, "bold"), table, *told)

    @staticmethod
    def _figures(progress: Progress) -> list[tuple[str, str, str]]:
        update, subscription = progress.last, progress.subscription
        number = "none yet"
        latency = "-"
        if update is not None:
            number = f"{update.seq:,}, of {clock(update.timestamp)}"
            latency = f"{duration(progress.latency_s)}, at most {duration(progress.worst_s)}"
        return [
            ("update", number, ""),
            ("received", f"{progress.received:,}", ""),
            ("rate", rate(progress.rate), ""),
            (
                progress.lost_word,
                f"{subscription.lost:,}",
                "bold red" if subscription.lost and not progress.latest_only else "",
            ),
            ("lag", f"{subscription.lag:,}", ""),
            ("latency", f"{latency} (if the clocks agree)", ""),
        ]

    def _values(self, progress: Progress, rows: int) -> list[tuple[str, str, str]]:
        """Return the values of the last update, in so many rows."""
        if progress.last is None:
            return []
        values = [(*pair, "") for pair in lines_of(progress.last.data, self._console.width)]
        if len(values) > rows:
            hidden = len(values) - rows + 1
            values[rows - 1 :] = [("", f"... and {hidden} more", "dim")]
        return values
