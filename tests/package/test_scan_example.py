"""The scan of examples/ with its three devices, each in a process of its own, one of which dies."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support.examples import EXAMPLES, PATIENCE_S, Example, Run
from support.ports import own_address

from laplace_server.client import ClientLHC

pytestmark = pytest.mark.transports("tcp", "libzmq")

KINDS = ("stage", "camera", "meter")
POSITIONS = [f"{0.25 * step:.2f}" for step in range(1, 21)]
ROW = re.compile(r" *(\d\.\d\d) mm +\d+ counts +\d\.\d{3} J")
MISSING = re.compile(r"shot \d+ is missing \{'(\w+)': '(lost|gone|not yet)'\}")

Start = Callable[[str], Example]


@pytest.fixture
def addresses() -> dict[str, str]:
    return {kind: own_address() for kind in KINDS}


@pytest.fixture
def start(run: Run, addresses: dict[str, str]) -> Start:
    """Start a device where it belongs."""

    def start(kind: str) -> Example:
        device = run("scan_devices.py", kind, "--address", addresses[kind])
        device.wait_for(f"{kind}: listening on port")
        return device

    return start


def end_of(scan: Example) -> list[str]:
    """What it has said beside its table, which has to be whole and in order."""
    assert scan.end() == 0, scan.printed
    rows = [row[1] for row in map(ROW.fullmatch, scan.printed) if row]
    assert rows == POSITIONS, scan.printed
    assert scan.printed[-1] == "20 of 20 positions are complete"
    return [line for line in scan.printed[:-1] if not ROW.fullmatch(line)]


def test_it_is_short() -> None:
    assert len((EXAMPLES / "scan.py").read_text(encoding="utf-8").splitlines()) < 40


def test_all_is_complete_where_nobody_goes(
    run: Run, addresses: dict[str, str], start: Start
) -> None:
    devices = [start(kind) for kind in KINDS]
    scan = run("scan.py", *addresses.values())
    assert end_of(scan) == []
    for device in devices:
        device.wait_for("saving to /data/scan")


@pytest.mark.parametrize("victim", ["stage", "camera"])
def test_it_goes_on_when_a_killed_device_is_back(
    run: Run, addresses: dict[str, str], start: Start, victim: str
) -> None:
    devices = {kind: start(kind) for kind in KINDS}
    scan = run("scan.py", *addresses.values())
    scan.wait_for(POSITIONS[0])
    devices[victim].kill()
    scan.wait_for(f"Fleet: {victim} at {addresses[victim]} is lost")
    with ClientLHC(addresses["meter"], "test") as meter, meter.subscribe("shots") as shots:
        shots.next(timeout=PATIENCE_S)  # a shot that the dead one has not seen
    start(victim).wait_for("saving to /data/scan")

    said = end_of(scan)
    assert {found[1] for found in map(MISSING.fullmatch, said) if found} == {victim}
    # All else is said of that one, too.
    others = [word for kind in KINDS if kind != victim for word in (kind, addresses[kind])]
    assert [line for line in said if any(word in line for word in others)] == []
    assert [
        line
        for line in said
        if not (
            MISSING.fullmatch(line) or addresses[victim] in line or f"gather: {victim}:" in line
        )
    ] == []
