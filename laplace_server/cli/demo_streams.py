"""The streams of ``demo``: what is published here is followed from another process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from laplace_server.cli.failures import fail
from laplace_server.cli.measuring_process import PATIENCE_S, TIMEOUT_S, MeasuringProcess

if TYPE_CHECKING:
    from rich.table import Table

    from laplace_server.server_lhc import ServerLHC
    from laplace_server.stats import SubscriberStats

_STREAM = "pulses"
_RATE_HZ = 1000
_HISTORY_BYTES = 256 << 20  # what a subscriber may be behind, here for a moment
_COUNTS = 4096


class StreamRow(NamedTuple):
    """One measurement: published how, beside what, and what its subscriber found."""

    how: str
    beside: str
    found: dict[str, Any]
    paced: bool
    """Published at a rate; as fast as it goes, latencies are those of the queue."""

    @property
    def updates_per_s(self) -> float:
        """From the first publish() to the last update taken by the subscriber."""
        return float(self.found["received"] / self.found["seconds"])


class Publisher:
    """Publishes a stream of a device and has it followed, flat out and then at a rate."""

    def __init__(self, server: ServerLHC, seconds: float, interrupted: threading.Event) -> None:
        from laplace_server.cli.measure_stream import CMD_FOUND

        self._server = server
        self._address = f"tcp://127.0.0.1:{server.server_port}"
        self._seconds = seconds
        self._interrupted = interrupted
        self._last = 0
        self._ledgers: list[SubscriberStats] = []
        server.declare_stream(_STREAM, history_bytes=_HISTORY_BYTES)
        server.register_handler(CMD_FOUND, self._on_found)

    def measure(self, beside: str) -> list[StreamRow]:
        """Publish both ways for a while each and return what the subscribers found."""
        return [
            StreamRow("flat out", beside, self._followed(self._flat_out), paced=False),
            StreamRow(f"{_RATE_HZ:,}/s", beside, self._followed(self._steadily), paced=True),
        ]

    def _on_found(self, server: ServerLHC, message: dict[str, Any], target: Any) -> None:
        """Take what the server has written down of the subscriber that is about to leave."""
        self._ledgers = list(server.stats().subscribers)

    def _followed(self, publish: Callable[[], None]) -> dict[str, Any]:
        self._ledgers = []
        module = "laplace_server.cli.measure_stream"
        options = ("--stream", _STREAM, "--timeout", str(TIMEOUT_S))
        subscriber = MeasuringProcess(self._interrupted, module, self._address, *options)
        deadline = time.monotonic() + PATIENCE_S
        while subscriber.is_running():
            if self._server.stats().subscribers:
                publish()
                break
            if time.monotonic() > deadline:
                subscriber.end()
                fail(f"the stream's subscriber has not subscribed within {PATIENCE_S:g} s.")
            self._interrupted.wait(0.002)
        found = subscriber.result(self._seconds)
        self._check(found)
        return found

    def _check(self, found: dict[str, Any]) -> None:
        """Compare the three accounts: what was published, sent, and received."""
        published = self._last - found["first"] + 1
        accounts = [(found["received"], found["lost"])]
        accounts += [(ledger.sent, ledger.lost) for ledger in self._ledgers]
        if len(accounts) != 2 or accounts[0] != accounts[1] or sum(accounts[0]) != published:
            fail(f"of {published} updates, (received, lost) and (sent, lost) are {accounts}.")

    def _flat_out(self) -> None:
        """Publish until the time is over."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end and not self._interrupted.is_set():
            for _ in range(100):
                self._publish(end=False)
        self._publish(end=True)

    def _steadily(self) -> None:
        """Publish the pulses of a laser; those that were held up follow at once."""
        count = max(1, round(self._seconds * _RATE_HZ))
        begun = time.monotonic()
        for pulse in range(1, count + 1):
            wait = begun + pulse / _RATE_HZ - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if self._interrupted.is_set():
                return
            self._publish(end=pulse == count)

    def _publish(self, end: bool) -> None:
        pulse = {"shot": self._last + 1, "energy_J": 1.25, "end": end}
        self._last = self._server.publish(_STREAM, pulse)


def table_of(rows: list[StreamRow]) -> Table:
    """Return the table of what subscribers found."""
    from rich.table import Table

    table = Table()
    for header in ("stream", "published", "its process"):
        table.add_column(header)
    for header in ("updates/s", "p50 (ms)", "p99 (ms)", "lost"):
        table.add_column(header, justify="right")
    for row in rows:
        table.add_row(
            _STREAM,
            row.how,
            row.beside,
            f"{row.updates_per_s:,.0f}",
            f"{row.found['p50_ms']:.3f}" if row.paced else "-",
            f"{row.found['p99_ms']:.3f}" if row.paced else "-",
            f"{row.found['lost']:,}",
            end_section=row is rows[len(rows) // 2 - 1],
        )
    return table


def closing_of(rows: list[StreamRow]) -> str:
    """Say what the table shows."""
    received = sum(row.found["received"] for row in rows)
    lost = sum(row.found["lost"] for row in rows)
    return (
        f"Streamed: {received:,} updates received, {lost:,} lost. For each stream, what the "
        "subscriber received, what the server sent, and what was published agree. Latencies are "
        "from publish() to the subscriber's hands. Beside the computing thread, publishing has to "
        "wait for Python; what is published does not."
    )
