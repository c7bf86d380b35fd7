"""What is done to a stage during a soak: scenarios, a few times each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reliability.chaos import crowds, restarts, strangers
from reliability.chaos.callbacks import each_time
from reliability.chaos.suspended import pause
from reliability.common.peers import Proxy
from reliability.common.stage import KINDS, Stage
from reliability.common.traffic import flows

Disturbance = Callable[[Stage], None]

PAUSE_S = 1.5


def _times(act: Callable[[Stage, int], None], times: int) -> Disturbance:
    return lambda stage: act(stage, times)


def _freeze_server(stage: Stage) -> None:
    stage.outage_s += PAUSE_S
    pause(stage, [stage.device], PAUSE_S)


def _freeze_clients(stage: Stage) -> None:
    pause(stage, stage.witnesses, PAUSE_S)


def _kill_clients(stage: Stage) -> None:
    for kind in KINDS:
        with stage.client(kind) as client:
            client.kill()
    flows(stage)


def _nothing(stage: Stage) -> None:
    flows(stage)


STEADY: Mapping[str, Disturbance] = {
    "clients killed mid-frame": _times(strangers.killed_mid_frame, 1),
    "clients killed": _kill_clients,
    "byte-wise senders": _times(strangers.byte_wise, 1),
    "other protocols": _times(strangers.other_protocols, 20),
    "peers that never read": _times(strangers.never_read, 3),
    "50 clients at once": _times(crowds.at_once, 50),
    "200 clients one after the other": _times(crowds.over_time, 200),
    "callbacks that raise": _times(each_time("raise"), 5),
    "callbacks that fork": _times(each_time("fork", seconds=0.2), 2),
    "callbacks that take 1.5 s": _times(each_time("hang", seconds=1.5), 1),
    "nothing": _nothing,
}
"""For a stage whose programs live as long as the soak."""

RESTARTED: Mapping[str, Disturbance] = {
    "server killed": _times(restarts.killed, 1),
    "server stopped": _times(restarts.stopped, 1),
    "server stopped and continued": _freeze_server,
    "clients stopped and continued": _freeze_clients,
    "clients killed mid-frame": STEADY["clients killed mid-frame"],
    "other protocols": STEADY["other protocols"],
    "nothing": _nothing,
}


def with_proxy(proxy: Proxy) -> Mapping[str, Disturbance]:
    """Return what can be done besides to a stage with witnesses behind a proxy."""

    def broken(stage: Stage) -> None:
        proxy.cut()
        flows(stage)

    def refused(stage: Stage) -> None:
        proxy.go_away()
        proxy.come_back()
        flows(stage)

    return {"connections broken": broken, "connections broken, a moment refused": refused}
