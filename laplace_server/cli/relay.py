"""relay: streams of devices into NATS JetStream until Ctrl-C."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.key_option import KeyOption
from laplace_server.cli.log_option import LogLevel, log_from
from laplace_server.cli.nats_options import (
    NAMES,
    Authority,
    Certificate,
    CertificateKey,
    Creds,
    Domain,
    Prefix,
    Site,
    nats_options,
)
from laplace_server.cli.option_names import options_named
from laplace_server.cli.quantities import read_duration, read_size
from laplace_server.cli.shown import printable

if TYPE_CHECKING:
    from laplace_server.relay import NatsRelay, RelayStats

_PERIOD_S = 1.0  # of --json


def relay(
    nats_url: Annotated[
        str,
        typer.Argument(
            metavar="NATS", help="nats://HOST:PORT; of a cluster, several with commas between."
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS/STREAM...",
            help="What to relay. DEVICE=ADDRESS/STREAM: under this name, not the server's own.",
        ),
    ],
    site: Site = "lab",
    prefix: Prefix = "lhc",
    domain: Domain = None,
    keep: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long NATS keeps updates: 90s, 15m, 12h, 7d."),
    ] = None,
    keep_bytes: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="How much NATS keeps of each stream: 500MB, 20GB, 2TB."),
    ] = None,
    replicas: Annotated[
        int, typer.Option(metavar="N", help="On how many servers of a NATS cluster.")
    ] = 1,
    moved: Annotated[
        bool,
        typer.Option("--moved", help="A device with another address than before is the same one."),
    ] = False,
    creds: Creds = None,
    ca: Authority = None,
    cert: Certificate = None,
    cert_key: CertificateKey = None,
    key: KeyOption = None,
    log_level: Annotated[
        LogLevel,
        typer.Option(
            metavar="|".join(level.value for level in LogLevel), help="What it logs on stderr."
        ),
    ] = LogLevel.WARNING,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print what is counted each second, one line of JSON each."),
    ] = False,
) -> None:
    """Bring streams into NATS JetStream: each update once, and what is lost is noted.

    It begins behind what NATS has, waits for servers and NATS, and goes on through restarts of
    any of them, until Ctrl-C or SIGTERM.
    """
    ending = threading.Event()
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda *_: ending.set())
    log_from(log_level)
    with failures_told():
        try:
            from laplace_server.relay import NatsRelay
            from laplace_server.security import ClientSecurity

            with options_named(
                nats_url="NATS",
                max_age_s="--keep",
                max_bytes="--keep-bytes",
                replicas="--replicas",
                **NAMES,
            ):
                made = NatsRelay(
                    nats_url,
                    sources,
                    max_age_s=None if keep is None else read_duration("--keep", keep),
                    max_bytes=None if keep_bytes is None else read_size("--keep-bytes", keep_bytes),
                    replicas=replicas,
                    moved=moved,
                    security=lambda address: ClientSecurity.find(address, key),
                    **nats_options(site, prefix, domain, creds, ca, cert, cert_key),
                )
        except ImportError as error:
            fail(str(error))
        with made:
            if not as_json:
                streams = "1 stream" if len(sources) == 1 else f"{len(sources)} streams"
                typer.echo(f"Relaying {streams} (Ctrl-C ends it).")
            while not ending.wait(_PERIOD_S):
                if as_json:
                    typer.echo(json.dumps(made.stats().as_json()))
        _tell_end(made, as_json)


def _tell_end(made: NatsRelay, as_json: bool) -> None:
    stats: RelayStats = made.stats()
    if as_json:
        typer.echo(json.dumps(stats.as_json()))
        return
    for each in stats.sources:
        where = each.subject or f"{each.address}/{printable(each.stream)}"
        trouble = "" if each.trouble is None else f" ({printable(each.trouble)})"
        typer.echo(f"{where}: {each.updates:,} updates stored, {each.lost:,} lost{trouble}.")
