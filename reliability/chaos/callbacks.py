"""Callbacks that raise, hang, call back into the server, stop it, fork, and end the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reliability.common.journal import ANSWERED, UNKNOWN, Outcomes
from reliability.common.program import ProgramFault
from reliability.common.scenario import Scenario
from reliability.common.setting import ALL, security_of_client
from reliability.common.stage import Stage
from reliability.common.traffic import flows, wait_until

HANG_S = 2.0
"""Longer than a witness waits for an answer."""


class Actor:
    """A client whose requests make the callback misbehave; its outcomes are kept as witnesses'."""

    def __init__(self, stage: Stage) -> None:
        from laplace_server.client import ClientLHC

        self._who = stage.actor()
        self._keys = stage.client_keys()
        self._client = ClientLHC(
            stage.address, "actor", timeout_s=20, security=security_of_client(self._keys)
        )
        self._outcomes = Outcomes(stage.outcomes_of(self._who))
        self._number = 0

    def ask(self, what: str, **data: Any) -> None:
        """Have it done, and expect an answer."""
        number = self._number
        inner = number + 1 if what == "call back" else None
        self._number += 2 if inner else 1
        asked = {"who": self._who, "number": number, "do": what, "keys": self._keys}
        self._client.opt({**asked, "inner": inner, **data})
        self._outcomes.note(ANSWERED)
        if inner:
            self._outcomes.note(UNKNOWN)

    def ask_in_vain(self, what: str) -> None:
        """Have it done; the process will not answer."""
        from laplace_server.errors import RequestTimeout

        asked = {"who": self._who, "number": self._number, "do": what}
        self._number += 1
        reason: str | None = "a process that is gone has answered"
        try:
            self._client.opt(asked, timeout_s=1)
        except RequestTimeout as problem:
            reason = problem.reason
        assert reason is None, reason
        self._outcomes.note(UNKNOWN)

    def close(self) -> None:
        """Let go of connection and file."""
        self._client.close()
        self._outcomes.close()


def each_time(what: str, **data: Any) -> Callable[[Stage, int], None]:
    """Return what has a callback do something, after which all goes on."""

    def act(stage: Stage, times: int) -> None:
        actor = Actor(stage)
        for _ in range(times):
            actor.ask(what, **data)
            flows(stage)
        actor.close()

    return act


def stop(stage: Stage, times: int) -> None:
    """Let a callback stop the server; the program is still there, and ends when told."""
    actor = Actor(stage)
    for _ in range(times):
        actor.ask("stop")
        stage.restart_device(stage.stop_device)
        flows(stage)
    actor.close()


def die(stage: Stage, times: int) -> None:
    """Let a callback end the process at once."""
    actor = Actor(stage)
    for _ in range(times):
        actor.ask_in_vain("die")
        wait_until(lambda: not stage.device.alive, "the process is gone")
        stage.restart_device()
        flows(stage)
    actor.close()


def ends_thread(stage: Stage, times: int) -> None:
    """Let a callback raise SystemExit, which is for the program and not for a thread."""
    actor = Actor(stage)
    for _ in range(times):
        actor.ask("exit")
        flows(stage)
    if not stage.device.alive:
        raise ProgramFault("the device has ended")
    actor.close()


SCENARIOS = (
    Scenario("callbacks-raise", "a callback raises", 200, each_time("raise"), ALL),
    Scenario(
        "callbacks-hang",
        f"a callback takes {HANG_S:g} s, longer than clients wait",
        5,
        each_time("hang", seconds=HANG_S),
        ALL,
    ),
    Scenario(
        "callbacks-call-back",
        "a callback asks its own server, for a read and for what waits for itself",
        20,
        each_time("call back"),
        ALL,
    ),
    Scenario("callbacks-stop", "a callback stops the server; restarted", 10, stop, ALL),
    Scenario(
        "callbacks-fork",
        "a callback forks; the child lives for 0.2 s",
        50,
        each_time("fork", seconds=0.2),
        ALL,
    ),
    Scenario("callbacks-exit", "a callback raises SystemExit", 50, ends_thread, ALL),
    Scenario("callbacks-die", "a callback ends the process; restarted", 10, die, ALL),
)
