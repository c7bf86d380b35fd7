"""record: streams of several servers into a file, until Ctrl-C."""

from __future__ import annotations

import math
import re
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laplace_server.cli.failures import ENDING_SIGNALS, fail, failures_told
from laplace_server.cli.given import refuse_given
from laplace_server.cli.key_option import KeyOption, client_of
from laplace_server.cli.log_option import (
    errors_not_logged,
    keep_from_the_log,
    log_callbacks_briefly,
)
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
from laplace_server.cli.recorder_views import never_followed
from laplace_server.cli.requests import Timeout
from laplace_server.cli.values import check_seconds, full_address, read_choice, read_start

if TYPE_CHECKING:
    from laplace_server.cli.recorder_views import RecorderView
    from laplace_server.client import ClientLHC
    from laplace_server.recording import Recorder, RecorderStats
    from laplace_server.recording.saving import SavingRecorder
    from laplace_server.relay import NatsDevice

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT]?)B?")
_UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_LOOK_S = 0.1
_WHEN_FULL = ("wait", "remove-oldest")


def record(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS[/STREAM]...",
            help="A stream, or all that the server has and will have; or one of those in NATS, "
            "nats://HOST:PORT/DEVICE[/STREAM].",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write.")
    ] = Path("run.h5"),
    start: Annotated[
        str, typer.Option(metavar="oldest|newest|latest|N", help="Where streams begin.")
    ] = "oldest",
    compression: Annotated[
        str, typer.Option(metavar="lz4|gzip|none", help="Of large arrays.")
    ] = "lz4",
    part_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Begin a new file after so much: 500M, 10G.")
    ] = None,
    part_seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Begin a new file after S seconds.")
    ] = None,
    keep_free: Annotated[str, typer.Option(metavar="SIZE", help="Of the disk, left free.")] = "64M",
    when_full: Annotated[
        str,
        typer.Option(metavar="wait|remove-oldest", help="When no more than that is free."),
    ] = "wait",
    memory: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Held at most; the rest waits at its server."),
    ] = "256M",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the recording that is there.")
    ] = False,
    swmr: Annotated[
        bool,
        typer.Option("--swmr", help="Store texts so that live readers can follow them, too."),
    ] = False,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="End after S seconds.")] = None,
    follow_saving: Annotated[
        bool,
        typer.Option(
            "--follow-saving", help="Be a device: SAVE and TOGGLE SAVING say where and when."
        ),
    ] = False,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where it listens, with --follow-saving.")
    ] = "tcp://*:*",
    name: Annotated[
        str, typer.Option(help="What it calls itself, with --follow-saving.")
    ] = "recorder",
    keys: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Whom it obeys, with --follow-saving; as of 'serve'."),
    ] = None,
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
    """Record streams into an HDF5 file, which says what is missing.

    It goes on, through restarts of the servers, until Ctrl-C, and then closes the file.
    """
    ending = threading.Event()
    for number in (*ENDING_SIGNALS, *_hang_ups()):
        signal.signal(number, lambda *_: ending.set())
    with failures_told(), ExitStack() as stack:
        _check_given(context, sources, follow_saving)
        begin = read_start(start)
        for option, time_s in (("--seconds", seconds), ("--part-seconds", part_seconds)):
            if time_s is not None:
                check_seconds(option, time_s)
        if output.is_dir():
            fail(f"{output} is a folder: give the name of a file in it.")
        if not output.parent.exists() and not follow_saving:
            fail(f"the folder {output.parent} does not exist: make it first.")
        try:
            from laplace_server.recording import Recorder
        except ImportError as error:
            fail(str(error))
        _keep_from_the_log()
        options: dict[str, Any] = {
            "compression": read_choice("--compression", compression, ("lz4", "gzip", "none")),
            "part_bytes": math.inf if part_size is None else _some("--part-size", part_size),
            "part_s": math.inf if part_seconds is None else part_seconds,
            "free_bytes": _bytes_of("--keep-free", keep_free),
            "when_full": read_choice("--when-full", when_full, _WHEN_FULL).replace("-", " "),
            "max_held_bytes": _some("--memory", memory),
            "swmr": swmr,
        }
        in_nats = nats_options(site, prefix, domain, creds, ca, cert, cert_key)
        wanted = [
            _in_nats(each, timeout, in_nats)
            if is_nats(each)
            else _source(each, timeout, key, stack)
            for each in sources
        ]
        end = math.inf if seconds is None else time.monotonic() + seconds
        try:
            if follow_saving:
                from laplace_server.recording.saving import SavingRecorder
                from laplace_server.security import ServerSecurity

                log_callbacks_briefly()
                with errors_not_logged():
                    if keys is not None:
                        options["security"] = ServerSecurity.from_folder(keys)
                    saving = SavingRecorder(name, full_address(address), output, wanted, **options)
                _be_told(stack.enter_context(saving), ending, end)
            else:
                recorder = Recorder(output, wanted, start=begin, resume=resume, **options)
                with recorder:
                    stats = _show(recorder, _view(), ending, end)
                missed = never_followed(stats)
                if missed:
                    fail("\nlaplace-server: ".join(missed))
        except FileExistsError:
            fail(f"{output} is there already: give another name, or --resume.")
        except (ImportError, OSError) as error:
            fail(str(error))


def _check_given(context: typer.Context, sources: list[str], follow_saving: bool) -> None:
    """Raise ValueError where an option would not be heeded."""
    if follow_saving:
        refuse_given(context, ["start", "resume"], "a recording that begins at once")
    else:
        refuse_given(context, ["keys", "address", "name"], "--follow-saving")
    in_nats = [is_nats(each) for each in sources]
    if not any(in_nats):
        refuse_given(context, ONLY_NATS, "NATS: nats://HOST:PORT/DEVICE/STREAM")
    if all(in_nats):
        refuse_given(context, ["key"], "servers, not for NATS")


def _keep_from_the_log() -> None:
    """Have the log not say what views say."""
    from laplace_server.client import subscription_reader as reader
    from laplace_server.recording import follower, recorder, writing

    keep_from_the_log(reader.NOT_YET, reader.NO_MORE, reader.REFUSED)
    keep_from_the_log(follower.NOT_FOLLOWED, writing.NOT_WRITTEN, recorder.ENDED_WITHOUT)


def _hang_ups() -> list[signal.Signals]:
    """What a terminal that is closed sends, unless nohup has it ignored."""
    hang_up = getattr(signal, "SIGHUP", None)
    return [hang_up] if hang_up and signal.getsignal(hang_up) is signal.SIG_DFL else []


def _be_told(saving: SavingRecorder, ending: threading.Event, end: float) -> None:
    where = saving.server.address_for_client
    typer.echo(f"Waits for SAVE and TOGGLE SAVING at {where} (Ctrl-C ends it).")

    def goes_on() -> bool:
        return time.monotonic() < end and not ending.is_set() and saving.server.is_alive()

    while goes_on():
        ending.wait(_LOOK_S)
        recorder = saving.recorder
        if recorder is None:
            continue
        view = _view()
        while goes_on() and saving.recorder is recorder:
            saving.refresh()
            view.show(recorder.stats())
            ending.wait(view.period_s)
        if not goes_on() and saving.recorder is recorder:
            saving.close()
        view.close(recorder.stats())
    last = saving.recorder
    if last is not None:  # it has begun since that was looked at
        saving.close()
        _view().close(last.stats())


def _show(
    recorder: Recorder, view: RecorderView, ending: threading.Event, end: float
) -> RecorderStats:
    """Show it until the end, and return how it was just before."""
    try:
        while time.monotonic() < end and not ending.wait(
            min(view.period_s, max(0.0, end - time.monotonic()))
        ):
            view.show(recorder.stats())
        stats = recorder.stats()
        recorder.close()
        return stats
    finally:
        view.close(recorder.stats())


def _view() -> RecorderView:
    from laplace_server.cli.recorder_views import LineView, TerminalView

    if sys.stdout.isatty():
        from rich.console import Console

        console = Console(highlight=False)
        if not console.is_dumb_terminal:
            return TerminalView(console)
    return LineView()


def _source(
    text: str, timeout: float, key: str | None, stack: ExitStack
) -> ClientLHC | tuple[ClientLHC, str]:
    scheme, _, rest = full_address(text).partition("://")
    place, slash, stream = rest.partition("/")
    client = stack.enter_context(client_of(f"{scheme}://{place}", timeout, key))
    if slash and not stream:
        raise ValueError(f"{text!r} has no name of a stream behind its last '/'.")
    return (client, stream) if stream else client


def _in_nats(
    text: str, timeout: float, options: dict[str, Any]
) -> NatsDevice | tuple[NatsDevice, str]:
    device, stream = nats_device(text, timeout, options)
    return device if stream is None else (device, stream)


def _some(option: str, text: str) -> int:
    size = _bytes_of(option, text)
    if size == 0:
        raise ValueError(f"{option} must be more than 0.")
    return size


def _bytes_of(option: str, text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{option} is a size such as 500M or 10G, not {text!r}.")
    return int(float(found[1]) * _UNITS[found[2]])
