"""The load: stages side by side, each disturbed in a thread of its own."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from reliability.chaos.networks import behind_a_proxy
from reliability.common.cast import Cast
from reliability.common.lateness import Lateness
from reliability.common.report import faults
from reliability.common.resources import MIB
from reliability.common.scenario import Row, judge
from reliability.common.setting import LIBZMQ, PLAIN, SECURED, Setting
from reliability.common.stage import Stage
from reliability.soak.disturbances import RESTARTED, STEADY, with_proxy
from reliability.soak.sampling import Sampler, Series, leaks

_MODERATE = Cast(
    server={"stream_history_bytes": MIB, "max_waiting_bytes": MIB},
    updates_per_s=100,
    request_pause_s=0.02,
)
MEMORY = 32 * MIB
"""By which a device may have grown in all."""


@dataclass(frozen=True)
class Part:
    """A stage of the soak."""

    name: str
    setting: Setting
    steady: bool
    """It is not restarted, and what it uses has to be flat."""


PARTS = (
    Part("steady", PLAIN, True),
    Part("steady, secured", SECURED, True),
    Part("restarted, secured", SECURED, False),
    Part("restarted, libzmq", LIBZMQ, False),
)


@dataclass
class Soaked:
    """What came of it."""

    rows: list[Row] = field(default_factory=list)
    done: dict[str, Counter[str]] = field(default_factory=dict)
    """For each part, how often what was done."""
    series: dict[str, Series] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    late_s: float = 0.0
    """By how much the harness itself was late at most."""
    late_in_all_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether every promise was kept."""
        return not self.leaks and all(row.held for row in self.rows)


class Disturber(threading.Thread):
    """Does to one stage what chance says, until the time is over or something breaks."""

    def __init__(self, part: Part, stage: Stage, seed: str, deadline: float) -> None:
        super().__init__(name=part.name)
        self.done: Counter[str] = Counter()
        self._stage = stage
        self._chance = random.Random(seed)
        self._deadline = deadline
        self._ways = dict(STEADY if part.steady else RESTARTED)
        if part.steady:
            self._ways |= with_proxy(behind_a_proxy(stage))

    def run(self) -> None:
        """Do it."""
        while time.monotonic() < self._deadline:
            name = self._chance.choice(list(self._ways))
            try:
                self._ways[name](self._stage)
            except Exception as fault:  # whatever it is, something did not hold
                self._stage.faults.append(f"{name}: {type(fault).__name__}: {fault}")
                return
            self.done[name] += 1
            time.sleep(self._chance.uniform(0.2, 1.5))


def soak(
    parts: Sequence[Part],
    seconds: float,
    seed: int,
    folder: Path,
    tell: Callable[[str], None],
) -> Soaked:
    """Run the parts side by side for so long, and say what came of it."""
    soaked = Soaked()
    with Lateness() as lateness, contextlib.ExitStack() as opened:
        stages = [
            opened.enter_context(Stage(part.setting, folder / part.name, _MODERATE))
            for part in parts
        ]
        deadline = time.monotonic() + seconds
        disturbers = [
            Disturber(part, stage, f"{seed} {part.name}", deadline)
            for part, stage in zip(parts, stages, strict=True)
        ]
        tell(f"{len(parts)} servers are under load for {seconds:g} s")
        with Sampler(_steady(parts, stages), max(0.5, seconds / 900)) as sampler:
            for each in disturbers:
                each.start()
            for each in disturbers:
                each.join()
        soaked.series = sampler.series
        soaked.leaks = leaks(sampler.series)
        for part, stage, each in zip(parts, stages, disturbers, strict=True):
            soaked.done[part.name] = each.done
            row = _row(part, stage, each.done.total(), seconds)
            row.late_s = lateness.longest_s
            soaked.rows.append(row)
            tell(f"{part.name}: {'held' if row.held else faults(row)}")
        soaked.late_s, soaked.late_in_all_s = lateness.longest_s, lateness.total_s
    return soaked


def _steady(parts: Sequence[Part], stages: Sequence[Stage]) -> dict[str, psutil.Process]:
    """Return the processes that live as long as the soak."""
    found = {}
    for part, stage in zip(parts, stages, strict=True):
        programs = [*stage.witnesses, *([stage.device] if part.steady else [])]
        found.update({f"{part.name}: {program.name}": program.process for program in programs})
    return found


def _row(part: Part, stage: Stage, times: int, seconds: float) -> Row:
    row = Row(part.name, part.setting.name, part.name, times, seconds)
    row.found.faults = stage.faults
    try:
        row.found = stage.finish()
        judge(row.found, stage.outage_s, MEMORY)
    except Exception as fault:
        row.found.faults.append(f"{type(fault).__name__}: {fault}")
    return row
