"""A scenario, how it is run, and the row that it makes."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reliability.common.cast import Cast, Found
from reliability.common.lateness import STARVED_S, Lateness
from reliability.common.program import SLOWNESS
from reliability.common.resources import MIB
from reliability.common.setting import TCP, Setting
from reliability.common.stage import Stage

SILENT_S = 10.0 * SLOWNESS
"""A device that nothing was done to answers within this, while the prober itself runs."""


class NotTried(Exception):
    """This machine does not permit a scenario; the text says why."""


@dataclass(frozen=True)
class Options:
    """What the command line says to scenarios."""

    share: float = 1.0
    """Of the times that a scenario is done."""
    breach: str = ""
    other: str = ""
    """The Python of another release."""


@dataclass(frozen=True)
class Backstage:
    """What preparing a scenario may use."""

    options: Options
    folder: Path
    """For files."""
    closing: contextlib.ExitStack
    """Closed after the scenario."""


@dataclass(frozen=True)
class Scenario:
    """What is done to a stage, how often, and what may come of it."""

    name: str
    tried: str
    """What is done, in words, for the table."""
    times: int
    act: Callable[[Stage, int], None]
    """Does it so many times.

    Raises:
        NotTried: this machine does not permit it.
        Exception: something did not hold.
    """
    settings: tuple[Setting, ...] = TCP
    cast: Cast = field(default_factory=Cast)
    prepare: Callable[[Cast, Backstage], Cast] = lambda cast, backstage: cast
    """Fits the cast to the machine; may raise NotTried."""
    settles_s: float = 20.0
    """How long the device may need to give back what it had for peers that went."""
    memory: int = 64 * MIB
    """Bytes by which the device may have grown: what streams keep, and what the allocator does."""


@dataclass
class Row:
    """What was found; a scenario in one setting."""

    name: str
    setting: str
    tried: str
    times: int
    seconds: float = 0.0
    late_s: float = 0.0
    """By how much the harness itself was late at most."""
    not_tried: str = ""
    """Why not, where it could not be tried."""
    found: Found = field(default_factory=Found)

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return not self.found.faults

    @property
    def starved(self) -> bool:
        """Whether the harness itself did not get to run, and times say more of the machine."""
        return self.late_s > STARVED_S

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        resources = {
            name: None if value is None else value._asdict()
            for name, value in (("before", self.found.before), ("after", self.found.after))
        }
        verdict = {"held": self.held, "starved": self.starved}
        return {**asdict(self), "found": {**asdict(self.found), **resources}, **verdict}


def run(scenario: Scenario, setting: Setting, options: Options) -> Row:
    """Run a scenario once, with new processes."""
    times = max(1, round(scenario.times * options.share))
    row = Row(scenario.name, setting.name, scenario.tried, times)
    begun = time.monotonic()
    with contextlib.ExitStack() as closing:
        lateness = closing.enter_context(Lateness())
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="reliability-")))
        try:
            cast = replace(scenario.cast, breach=options.breach)
            cast = scenario.prepare(cast, Backstage(options, folder, closing))
            with Stage(setting, folder / "stage", cast) as stage:
                row.found.faults = stage.faults
                scenario.act(stage, times)
                row.found = stage.finish(scenario.settles_s)
                judge(row.found, stage.outage_s, scenario.memory)
        except NotTried as reason:
            row.not_tried = str(reason)
        except Exception as fault:  # also what a client raised that should have been answered
            row.found.faults.append(f"{type(fault).__name__}: {fault}")
    row.seconds = time.monotonic() - begun
    row.late_s = lateness.longest_s
    return row


def judge(found: Found, outage_s: float, memory: int) -> None:
    """Make faults of the figures that break a promise."""
    requests = found.requests
    for count, what in (
        (found.lost, "updates were lost and not told"),
        (found.doubled, "updates came twice"),
        (found.out_of_order, "updates came out of order"),
        (requests.lost, "requests were answered and not carried out"),
        (requests.doubled, "requests were carried out again"),
        (requests.against_word, "requests were carried out, and their clients told otherwise"),
    ):
        if count:
            found.faults.append(f"{count} {what}")
    if found.longest_s > outage_s + SILENT_S:
        found.faults.append(f"no answer for {found.longest_s:.1f} s")
    assert found.before is not None
    assert found.after is not None
    grown = found.after.memory - found.before.memory
    if grown > memory:
        found.faults.append(f"the device uses {grown / MIB:.0f} MiB more than before")
    if not requests.answered:
        found.faults.append("no request was answered")
