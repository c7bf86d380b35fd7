"""Networks that drop packets, freeze, break, and come back."""

from __future__ import annotations

import random
import time
from dataclasses import replace

from reliability.common.cast import Cast
from reliability.common.peers import NetworkUnavailable, OtherNetwork, Proxy, other_network
from reliability.common.scenario import Backstage, NotTried, Scenario
from reliability.common.setting import ALL
from reliability.common.stage import KINDS, Stage
from reliability.common.traffic import flows, wait_until

SILENT_S = 3.0
"""Longer than a subscription waits for a word of its server."""
HALF_OPEN = 5
"""Raw peers that vanish behind a network that is cut off."""


class Elsewhere:
    """A scenario whose device can be reached from another network."""

    def __init__(self) -> None:
        self._network: OtherNetwork | None = None

    def prepare(self, cast: Cast, backstage: Backstage) -> Cast:
        """Make the network."""
        try:
            self._network = backstage.closing.enter_context(other_network())
        except NetworkUnavailable as reason:
            raise NotTried(str(reason)) from None
        return replace(cast, address=f"tcp://{self._network.ours}:*")

    def act(self, stage: Stage, times: int) -> None:
        """Cut off witnesses again and again, and once peers that never come back."""
        network = self._network
        assert network is not None
        for kind in KINDS:
            stage.add_witness(kind, before=network.before)
        peers = stage.keep(stage.helper("elsewhere", before=network.before, count=HALF_OPEN))
        peers.hear()
        for number in range(times):
            network.cut_off()
            if number == 0:
                peers.kill()  # the device does not hear of it
            time.sleep(SILENT_S)
            network.come_back()
            flows(stage)


def behind_a_proxy(stage: Stage) -> Proxy:
    """Return a proxy that there are witnesses behind."""
    proxy = stage.keep(Proxy(stage.server_port))
    for kind in KINDS:
        stage.add_witness(kind, proxy.address)
    return proxy


def frozen(stage: Stage, times: int) -> None:
    """Let nothing pass for a while; break all; break all and let nobody in for a while."""
    proxy = behind_a_proxy(stage)
    for number in range(times):
        kind = number % 3
        if kind == 0:
            proxy.freeze()
            time.sleep(SILENT_S)
            proxy.thaw()
        elif kind == 1:
            proxy.cut()
        else:
            proxy.go_away()
            time.sleep(0.5)
            proxy.come_back()
        flows(stage)


def cut(stage: Stage, times: int) -> None:
    """Break each connection after any number of bytes."""
    chance = random.Random(times)
    proxy = behind_a_proxy(stage)
    proxy.cut_after = lambda: int(2 ** chance.uniform(6, 16))
    proxy.cut()  # those that were let through
    wait_until(lambda: proxy.cuts >= times, f"{times} connections are cut", 300)
    proxy.cut_after = lambda: None
    proxy.cut()
    flows(stage)


_ELSEWHERE = Elsewhere()

SCENARIOS = (
    Scenario(
        "networks-dropped",
        f"a network that drops all packets for {SILENT_S:g} s, {HALF_OPEN} peers gone meanwhile",
        10,
        _ELSEWHERE.act,
        ALL,
        Cast(data_values=2000),
        _ELSEWHERE.prepare,
        settles_s=200.0,
    ),
    Scenario(
        "networks-frozen",
        f"connections frozen for {SILENT_S:g} s, broken, refused (proxy)",
        15,
        frozen,
        ALL,
    ),
    Scenario("networks-cut", "connections cut at any byte (proxy)", 200, cut, ALL),
)
