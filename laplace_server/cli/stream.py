"""stream: follow a stream in the terminal."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.given import refuse_given
from laplace_server.cli.key_option import KeyOption, client_of
from laplace_server.cli.log_option import keep_from_the_log
from laplace_server.cli.nats_options import (
    ONLY_NATS,
    Authority,
    Certificate,
    CertificateKey,
    Creds,
    Domain,
    Prefix,
    Site,
    is_nats,
    nats_device,
    nats_options,
)
from laplace_server.cli.requests import Timeout
from laplace_server.cli.shown import printable
from laplace_server.cli.values import check_seconds, read_start

if TYPE_CHECKING:
    from laplace_server.cli.progress import Progress
    from laplace_server.cli.views import View
    from laplace_server.cli.watch import Watch
    from laplace_server.client.stream_source import StreamSource


def stream(
    context: typer.Context,
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="The server's tcp://host:port, or host:port; or nats://HOST:PORT/DEVICE[/NAME], "
            "what a relay has brought there.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Which stream: unless told, 'data', or the only one there is."
        ),
    ] = None,
    start: Annotated[
        str,
        typer.Option(
            metavar="latest|newest|oldest|N",
            help="Begin with the next update, the newest or the oldest there is, or number N.",
        ),
    ] = "latest",
    latest_only: Annotated[
        bool, typer.Option("--latest-only", help="Skip to the newest update each time.")
    ] = False,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after N updates.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="End after S seconds.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each update as one line of JSON, for scripts.")
    ] = False,
    timeout: Timeout = 2.0,
    key: KeyOption = None,
    site: Site = "lab",
    prefix: Prefix = "lhc",
    domain: Domain = None,
    creds: Creds = None,
    ca: Authority = None,
    cert: Certificate = None,
    cert_key: CertificateKey = None,
) -> None:
    """Follow a stream: rate, losses, lag, latency, last values.

    It goes on, through restarts of the server, until Ctrl-C. Without a terminal it prints a line
    each second at the most; --json prints every update, arrays as lists.
    """
    from laplace_server.client import subscription_reader as reader

    keep_from_the_log(reader.NO_MORE, reader.REFUSED)
    with failures_told():
        begin = read_start(start)
        if seconds is not None:
            check_seconds("--seconds", seconds)
        source: StreamSource
        if is_nats(address):
            in_nats = nats_options(site, prefix, domain, creds, ca, cert, cert_key)
            source, named = nats_device(address, timeout, in_nats)
            refuse_given(context, ["key"], "a server, not for NATS")
            if name is not None and named is not None:
                raise ValueError(f"Which stream: {named!r} or {name!r}? Name one.")
            name = name or named
        else:
            refuse_given(context, ONLY_NATS, "NATS: nats://HOST:PORT/DEVICE/STREAM")
            source = client_of(address, timeout, key)
        with closing(source) as client:
            where = client.address
            wanted = _chosen(client) if name is None else name
            # With a time-out of its own: who types a name wants to know if nobody has it.
            with client.subscribe(
                wanted, start=begin, latest_only=latest_only, timeout_s=timeout
            ) as subscription:
                from laplace_server.cli.progress import Progress
                from laplace_server.cli.watch import Watch
                from laplace_server.client import ClientLHC

                ending = threading.Event()
                for number in ENDING_SIGNALS:
                    signal.signal(number, lambda *_: ending.set())
                progress = Progress(subscription, latest_only)
                view = _view(as_json, where, wanted)
                watch = Watch(client if isinstance(client, ClientLHC) else None)
                watch.start()
                try:
                    _follow(progress, view, watch, ending, count, seconds)
                finally:
                    watch.close()
                    view.close(progress)
        if count is not None and progress.received < count and not ending.is_set():
            fail(f"{progress.received:,} of {count:,} updates came within {seconds:g} s.")


def _chosen(client: StreamSource) -> str:
    """Return the stream to follow where none is named, or exit and say which there are."""
    from laplace_server.client import ClientLHC

    info = client.info()
    streams: dict[str, Any] = info.get("streams") or {}
    if isinstance(client, ClientLHC) and "SUBSCRIBE" not in info.get("capabilities", ()):
        fail(f"{client.address} has no streams: it is a laplace-server before 1.0.")
    if len(streams) > 1 and "data" not in streams:
        width = max(map(len, map(printable, streams)))
        lines = [
            f"  {printable(name):{width}}  {_range(streams[name])}".rstrip() for name in streams
        ]
        text = f"{client.address} has several streams. Name one after the address:"
        fail("\n".join([text, *lines]))
    # A server that has no streams yet makes this one, of what it sets as its data.
    return "data" if "data" in streams or not streams else next(iter(streams))


def _range(described: dict[str, int]) -> str:
    if not described:
        return ""  # NATS does not say
    first, last = described["first"], described["last"]
    if last < first:
        return "no updates yet" if last == 0 else f"updates up to {last:,}, none of them kept"
    return f"updates {first:,} to {last:,}"


def _view(as_json: bool, address: str, name: str) -> View:
    from laplace_server.cli.views import JsonView, LineView, TerminalView

    if as_json:
        return JsonView(name)
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        if not console.is_dumb_terminal:
            return TerminalView(console, address, name)
    return LineView()


def _follow(
    progress: Progress,
    view: View,
    watch: Watch,
    ending: threading.Event,
    count: int | None,
    seconds: float | None,
) -> None:
    """Take updates until it is enough."""
    take_next, count_it, take = progress.subscription.next, progress.take, view.take
    end = math.inf if seconds is None else progress.begun + seconds
    enough = math.inf if count is None else count
    shown = 0
    due = 0.0
    while not ending.is_set():
        now = time.monotonic()
        if now >= due or now >= end:
            if progress.received > shown:
                shown, watch.heard = progress.received, now
            progress.sample(now)
            view.show(progress, watch, now)
            due = now + view.period_s
            if now >= end or shown >= enough:
                return
        try:
            update = take_next(max(0.0, min(due, end) - now))
        except TimeoutError:
            continue
        count_it(update)
        take(update)
        if progress.received >= enough:
            due = 0.0
