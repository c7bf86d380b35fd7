"""The soak runs, holds, and tells what leaks."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.machine import within
from support.proxy import Proxy
from support.waiting import eventually


@pytest.mark.slow
@pytest.mark.timeout(within(250))
def test_some_seconds(run: Callable[..., Any], tmp_path: Path) -> None:
    chosen = ["--only", "steady, secured", "--minutes", 0.1, "--seed", 3]
    done = run("soak/run.py", *chosen, "--output", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "soak.json").read_text())
    assert told["held"]
    assert sum(told["done"]["steady, secured"].values()) > 0
    assert told["rows"][0]["found"]["received"] > 0
    assert len(told["series"]) == 5, "a device, two witnesses, two behind a proxy"
    assert all(series["samples"] for series in told["series"].values())
    assert "0.1 minutes, seed 3. The harness itself " in (tmp_path / "soak.md").read_text()


@pytest.mark.parametrize(
    ("each", "told"),
    [
        ((0, 0, 0), []),
        ((1 << 20, 0, 0), ["device grew by 74.0 MiB of memory"]),
        ((0, 1, 0), ["device grew by 50 threads"]),
        ((0, 0, 0.5), ["device grew by 25 descriptors"]),
    ],
)
def test_what_is_not_flat_is_told(each: tuple[float, float, float], told: list[str]) -> None:
    from reliability.common.resources import Resources
    from reliability.soak.sampling import Series, leaks

    series = Series()
    for number in range(100):
        series.times.append(float(number))
        series.samples.append(Resources(*(int(10 + number * more) for more in each)))
    assert leaks({"device": series}) == told


def test_a_warm_up_is_no_leak() -> None:
    from reliability.common.resources import MIB, Resources
    from reliability.soak.sampling import Series, leaks

    series = Series()
    for number in range(100):
        series.times.append(float(number))
        series.samples.append(Resources(min(number, 25) * 10 * MIB, min(number, 25), 10))
    assert leaks({"device": series}) == []


def test_a_proxy_keeps_its_port_while_it_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as behind:
        with Proxy(behind.getsockname()[1]) as proxy:
            proxy.go_away()
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", proxy.port))
            proxy.come_back()
            with socket.create_connection(("127.0.0.1", proxy.port)):
                assert eventually(lambda: proxy.accepted == 1)
