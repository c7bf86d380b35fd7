"""check: are servers well? One line and an exit status, for monitoring systems."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from laplace_server.cli.failures import USAGE, give_up_output
from laplace_server.cli.key_option import KeyOption, make_client
from laplace_server.cli.requests import Timeout

if TYPE_CHECKING:
    from laplace_server.cli.health import Health, Limits

_AT_ONCE = 16

Addresses = Annotated[
    list[str], typer.Argument(metavar="ADDRESS...", help="Servers' tcp://host:port, or host:port.")
]


def _limit(option: str, what: str, metavar: str) -> Any:
    state = "Warning" if option.startswith("--warn") else "Critical"
    text = f"{state}: {what} or more."
    return typer.Option(option, metavar=metavar, min=0.0, callback=_finite, help=text)


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):  # it would never be reached
        raise typer.BadParameter(f"{value} is no limit.")
    return value


_ROUND_TRIP, _RUNNING = "a round trip of MS milliseconds", "a request that runs for SECONDS"
_ERRORS, _LOST = "N exceptions of callbacks", "N updates that subscribers have lost"
Number = float | None
WarnMs = Annotated[Number, _limit("--warn-ms", _ROUND_TRIP, "MS")]
CriticalMs = Annotated[Number, _limit("--critical-ms", _ROUND_TRIP, "MS")]
WarnRunning = Annotated[Number, _limit("--warn-running", _RUNNING, "SECONDS")]
CriticalRunning = Annotated[Number, _limit("--critical-running", _RUNNING, "SECONDS")]
WarnErrors = Annotated[Number, _limit("--warn-callback-errors", _ERRORS, "N")]
CriticalErrors = Annotated[Number, _limit("--critical-callback-errors", _ERRORS, "N")]
WarnLost = Annotated[Number, _limit("--warn-lost", _LOST, "N")]
CriticalLost = Annotated[Number, _limit("--critical-lost", _LOST, "N")]


class CheckCommand(TyperCommand):
    """Where its arguments are wrong, it says so as monitoring systems expect it.

    They read stdout, and take status 2 for a server that is critical. People read stderr.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "exit_code", None) == USAGE:
                from laplace_server.cli.health import State, told

                said: Any = error
                _print(told(State.UNKNOWN, said.format_message()))
                said.exit_code = int(State.UNKNOWN)
            raise


def check(
    addresses: Addresses,
    timeout: Timeout = 2.0,
    key: KeyOption = None,
    warn_ms: WarnMs = None,
    critical_ms: CriticalMs = None,
    warn_running: WarnRunning = 30.0,
    critical_running: CriticalRunning = None,
    warn_callback_errors: WarnErrors = None,
    critical_callback_errors: CriticalErrors = None,
    warn_lost: WarnLost = None,
    critical_lost: CriticalLost = None,
) -> None:
    """Say in one line whether servers are well.

    For Nagios, Icinga and others that run its plugins: status 0 OK, 1 WARNING, 2 CRITICAL,
    3 UNKNOWN, and performance data behind a bar. Of several servers the worst counts. A server
    that does not answer is critical.
    """
    from laplace_server.cli.health import Limit, Limits, State, line_of, worst_of

    limits = Limits(
        round_trip_ms=Limit(warn_ms, critical_ms),
        running_s=Limit(warn_running, critical_running),
        callback_errors=Limit(warn_callback_errors, critical_callback_errors),
        lost_updates=Limit(warn_lost, critical_lost),
    )
    found = _all_examined(list(dict.fromkeys(addresses)), timeout, key, limits)
    printed = _print(line_of(found))
    raise typer.Exit(int(worst_of(each.state for each in found) if printed else State.UNKNOWN))


def _print(line: str) -> bool:
    """Whether the line could be written; without it a status means nothing."""
    try:
        typer.echo(line)
    except OSError as error:
        give_up_output(error)
        return False
    return True


def _all_examined(
    addresses: list[str], timeout: float, key: str | None, limits: Limits
) -> list[Health]:
    from concurrent.futures import ThreadPoolExecutor

    def examined(address: str) -> Health:
        return _examined(address, timeout, key, limits)

    if len(addresses) > 1:
        # At once: of many, those that do not answer would take their time one after the other.
        try:
            with ThreadPoolExecutor(min(len(addresses), _AT_ONCE)) as threads:
                return list(threads.map(examined, addresses))
        except RuntimeError:  # the system has no threads left
            pass
    return [examined(each) for each in addresses]


def _examined(address: str, timeout: float, key: str | None, limits: Limits) -> Health:
    from laplace_server.cli.health import Health, State, examine
    from laplace_server.cli.values import full_address

    try:
        with make_client(address, timeout, key) as client:
            return examine(client, limits)
    except Exception as error:  # a wrong argument or key, no descriptors: nothing about the server
        health = Health(full_address(address))
        health.tell(State.UNKNOWN, str(error))
        return health
