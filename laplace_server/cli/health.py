"""How a server is, judged by limits: what ``check`` finds."""

from __future__ import annotations

import enum
import math
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from laplace_server.cli.shown import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from laplace_server.client import ClientLHC


class State(enum.IntEnum):
    """Exit statuses of a plugin for monitoring systems."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# What is shown first, and counts where several servers are asked: trouble that is certain.
GRAVITY = {State.CRITICAL: 3, State.WARNING: 2, State.UNKNOWN: 1, State.OK: 0}


@dataclass(frozen=True)
class Limit:
    """From where on a figure is one to be warned of, or critical; None: never."""

    warning: float | None = None
    critical: float | None = None

    def judge(self, value: float) -> State:
        """The state that a figure means."""
        if self.critical is not None and value >= self.critical:
            return State.CRITICAL
        if self.warning is not None and value >= self.warning:
            return State.WARNING
        return State.OK


@dataclass(frozen=True)
class Figure:
    """One of a server's figures."""

    label: str
    value: float
    unit: str
    """As performance data has it: ms, s, c (a counter), B or nothing."""
    limit: Limit = Limit()

    def as_performance_data(self, prefix: str) -> str:
        """``'label'=value[unit];warning;critical;0``, the label after ``prefix``."""
        limits = [
            "" if at is None else _digits(at) for at in (self.limit.warning, self.limit.critical)
        ]
        label = f"{prefix}{self.label}"
        quoted = f"'{label}'" if set(label) & set(" :[]") else label
        value = (
            f"{self.value:.3f}".rstrip("0").rstrip(".") if self.unit in ("ms", "s") else self.value
        )
        return f"{quoted}={value}{self.unit};{limits[0]};{limits[1]};0"


def _digits(value: float) -> str:
    """The number in digits and a dot alone: plugins' exponents are not read everywhere."""
    digits = f"{Decimal(repr(value)):f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@dataclass
class Health:
    """What was found of one server."""

    address: str
    name: str | None = None
    reasons: list[tuple[State, str]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    @property
    def state(self) -> State:
        """The worst of what was found."""
        return worst_of(state for state, _ in self.reasons)

    @property
    def texts(self) -> list[str]:
        """What is wrong, the worst first."""
        return [text for _, text in sorted(self.reasons, key=lambda each: -GRAVITY[each[0]])]

    def tell(self, state: State, text: str) -> None:
        """Take note of something that is not as it should be."""
        self.reasons.append((state, text))

    def measure(self, figure: Figure, text: str) -> None:
        """Take note of a figure, and say ``text`` where it is beyond a limit."""
        self.figures.append(figure)
        state = figure.limit.judge(figure.value)
        if state is not State.OK:
            self.tell(state, text)


@dataclass(frozen=True)
class Limits:
    """Of all figures that are judged."""

    round_trip_ms: Limit
    running_s: Limit
    callback_errors: Limit
    lost_updates: Limit


def examine(client: ClientLHC, limits: Limits) -> Health:
    """Ask a server, and judge what it says; its errors and silence are findings, too."""
    from laplace_server.errors import NotPermitted, RemoteError, RequestTimeout

    health = Health(client.address)
    try:
        _examine(client, limits, health)
    except RequestTimeout as error:
        why = "" if error.reason is None else f": {error.reason}"
        health.tell(State.CRITICAL, f"no answer to {error.cmd} within {error.timeout_s:g} s{why}")
    except NotPermitted as error:
        health.tell(State.UNKNOWN, f"{error.cmd} is {error}")
    except RemoteError as error:
        health.tell(State.CRITICAL, f"answered {error.cmd} with an error: {error}")
    return health


def _examine(client: ClientLHC, limits: Limits, health: Health) -> None:
    client.ping()  # opens the connection
    begun = time.perf_counter()
    client.ping()
    milliseconds = (time.perf_counter() - begun) * 1e3
    text = f"answers in {milliseconds:.3f} ms"
    health.measure(Figure("round_trip", milliseconds, "ms", limits.round_trip_ms), text)
    info = client.info()
    health.name = str(info.get("name"))
    capabilities = info.get("capabilities")
    if isinstance(capabilities, list) and "STATS" in capabilities:
        _judge(client.stats(), limits, health)


def _judge(stats: Mapping[str, Any], limits: Limits, health: Health) -> None:
    try:
        running, errors = stats["running"], stats["callback_errors"]
        seconds = 0.0 if running is None else float(running["seconds"])
        what = "" if running is None else str(running["what"])
        raised = sum(errors.values())
        lost = sum(each["lost"] for each in stats["subscribers"])
        waiting = max(0, int(stats["queue_depth"]) - 1)  # this request is one itself
        connections = int(stats["connections"])
        uptime, problem = float(stats["uptime_s"]), stats["data_error"]
        if not math.isfinite(seconds + raised + lost + uptime):
            raise ValueError("a number is not finite")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        health.tell(State.UNKNOWN, f"its statistics cannot be read: {error!r}")
        return
    if problem is not None:
        health.tell(State.WARNING, f"its data cannot be sent: {problem}")
    health.measure(
        Figure("running", seconds, "s", limits.running_s),
        f"{what} has been running for {seconds:.1f} s",
    )
    by_name = ", ".join(f"{name} {count}" for name, count in errors.items())
    health.measure(
        Figure("callback_errors", raised, "c", limits.callback_errors),
        f"callbacks have raised: {by_name}",
    )
    health.measure(
        Figure("lost_updates", lost, "", limits.lost_updates),
        f"its subscribers have lost {lost} updates",
    )
    health.figures += [
        Figure("waiting", waiting, ""),
        Figure("connections", connections, ""),
        Figure("uptime", uptime, "s"),
    ]


def line_of(found: list[Health]) -> str:
    """The one line of a plugin: state, words, and performance data behind a bar."""
    worst = worst_of(each.state for each in found)
    wrong = [each for each in found if each.state is not State.OK]
    if wrong:
        # The worst first: monitoring systems cut lines.
        wrong.sort(key=lambda each: -GRAVITY[each.state])
        words = "; ".join(f"{_called(each)}: {', '.join(each.texts)}" for each in wrong)
        if len(wrong) < len(found):
            words += f" ({len(found) - len(wrong)} of {len(found)} servers are well)"
    else:
        words = ", ".join(_well(each) for each in found)
    prefixes = [f"{_host(each)} " if len(found) > 1 else "" for each in found]
    data = " ".join(
        figure.as_performance_data(prefix)
        for each, prefix in zip(found, prefixes, strict=True)
        for figure in each.figures
    )
    return told(worst, words) + (f" | {data}" if data else "")


def told(state: State, words: str) -> str:
    """The line without performance data."""
    # A bar begins these, wherever it stands.
    return f"LAPLACE {state.name} - {printable(words).replace('|', '/')}"


def worst_of(states: Iterable[State]) -> State:
    """The state of several together; of none, OK."""
    return max(states, key=lambda state: GRAVITY[state], default=State.OK)


def _host(health: Health) -> str:
    return health.address.partition("://")[2]


def _called(health: Health) -> str:
    return _host(health) if health.name is None else f"{health.name} ({_host(health)})"


def _well(health: Health) -> str:
    round_trip = next(each for each in health.figures if each.label == "round_trip")
    return f"{_called(health)} answers in {round_trip.value:.3f} ms"
