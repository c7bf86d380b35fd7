"""Releases against each other: 0.2.0, and another build of this package."""

from __future__ import annotations

import socket
from dataclasses import replace

from reliability.chaos.restarts import killed
from reliability.common.cast import Cast
from reliability.common.peers import OriginalUnavailable, original_path
from reliability.common.scenario import Backstage, NotTried, Scenario
from reliability.common.setting import PLAIN
from reliability.common.stage import Stage

CLIENTS = 2


def _original() -> str:
    try:
        return str(original_path())
    except OriginalUnavailable as reason:
        raise NotTried(f"0.2.0 cannot be installed: {reason}") from None


def original_server(cast: Cast, backstage: Backstage) -> Cast:
    """Let the device be one of 0.2.0.

    It has no streams, chooses no port, and its stop() asks itself at the machine's address, where
    one of the loopback interface does not listen.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    return replace(cast, device_path=_original(), address=address, updates_per_s=0, stops=False)


def original_clients(stage: Stage, times: int) -> None:
    """Let clients of 0.2.0 ask beside ours, while the device is killed and restarted."""
    folder = _original()
    for _ in range(CLIENTS):
        stage.add_witness("original", settings={"import_from": folder})
    killed(stage, times)


def _other(backstage: Backstage) -> str:
    if not backstage.options.other:
        raise NotTried("takes --other PYTHON")
    return backstage.options.other


def other_server(cast: Cast, backstage: Backstage) -> Cast:
    """Let the device be one of another release."""
    return replace(cast, device_python=_other(backstage))


def other_clients(cast: Cast, backstage: Backstage) -> Cast:
    """Let the clients be of another release."""
    return replace(cast, witness_python=_other(backstage))


_RESTARTED = "server killed and restarted"

SCENARIOS = (
    Scenario(
        "releases-original-server",
        f"clients with a server of 0.2.0; {_RESTARTED}",
        10,
        killed,
        (PLAIN,),
        prepare=original_server,
    ),
    Scenario(
        "releases-original-clients",
        f"{CLIENTS} clients of 0.2.0 beside ours; {_RESTARTED}",
        10,
        original_clients,
        (PLAIN,),
    ),
    Scenario(
        "releases-other-server",
        f"clients with a server of another release; {_RESTARTED}",
        10,
        killed,
        prepare=other_server,
    ),
    Scenario(
        "releases-other-clients",
        f"clients of another release; {_RESTARTED}",
        10,
        killed,
        prepare=other_clients,
    ),
)
