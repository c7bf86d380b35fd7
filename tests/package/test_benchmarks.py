"""The benchmarks run, refuse wrong updates, and count instructions; nothing is timed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from support.machine import within
from support.original import require_original
from support.paths import CHECKOUT

BENCHMARKS = CHECKOUT / "benchmarks"

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(sys.platform != "linux", reason="the load generator is for Linux"),
    pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler"),
    pytest.mark.skipif(not BENCHMARKS.exists(), reason="the benchmarks are not beside the tests"),
]


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
@pytest.mark.timeout(within(300))
def test_a_row_of_each_kind(tmp_path: Path) -> None:
    require_original()
    rows = [
        "read2x1",
        "read2x8",
        "busyx1",
        "commandx1",
        "live_busyx1",
        "turns2",
        "set_data2",
        "memory",
        "crowd",
        "idle",
    ]
    peers = ["laplace-server", "0.2.0", "raw", "echo", "pyzmq, orjson"]
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--rounds", "1", "--seconds", "0.1"]
    command += ["--output", str(tmp_path), "--peers", *peers, "--rows", *rows]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(280))
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "performance" / "results.json").read_text())["results"]
    assert set(rows) <= set(results)
    for row, peers_found in results.items():
        assert {"laplace-server", "0.2.0"} <= set(peers_found)
        for figures in peers_found.values():
            assert len(figures) == 1
            assert all(figures[0][key] > 0 for key in ("per_s", "p50") if key in figures[0]), row
    report = (tmp_path / "performance.md").read_text()
    assert "| GET of 2 floats, 1 client |" in report
    assert "| p50 meanwhile by p50 before |" in report
    assert (tmp_path / "performance" / "reads.png").stat().st_size > 10_000


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
@pytest.mark.timeout(within(300))
def test_every_stream_row(tmp_path: Path) -> None:
    peers = ["laplace-server", "native PUB/SUB", "pyzmq, orjson"]
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--rounds", "1", "--seconds", "0.03"]
    command += ["--output", str(tmp_path), "--peers", *peers, "--rows", "stream_"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(280))
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads((tmp_path / "performance" / "results.json").read_text())
    rows = measured["results"]
    assert {"small", "copied", "given", "fan_out", "publish1000", "publish10000"} <= {
        key.removeprefix("stream_") for key in rows
    }
    for key, found in rows.items():
        assert "laplace-server" in found
        for name, (figures,) in found.items():
            for figure, value in figures.items():
                assert (value is None and "ratio" in figure) or value >= 0, (key, figure)
            assert name == "pyzmq, orjson" or figures.get("lost", 0) == 0
    assert set(rows["stream_small"]) == set(peers)
    assert not measured["empty"]
    report = (tmp_path / "performance.md").read_text()
    assert "| stream of small updates |" in report
    assert "| p99 while one is stopped, us |" in report
    assert (tmp_path / "performance" / "streams.png").stat().st_size > 10_000


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let modules of the benchmarks be imported, as ``run.py`` does."""
    before = set(sys.modules)
    # Last, as there: what is installed goes before what lies in the checkout.
    monkeypatch.setattr(sys, "path", [*sys.path, str(BENCHMARKS.parent)])
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "benchmarks":
            del sys.modules[name]


@pytest.fixture
def stream_modules(importable: None) -> Any:
    """The modules of the benchmarks that run streams."""
    names = {
        "work": "streams.work",
        "checked": "streams.checked",
        "streaming": "streams.streaming",
        "measure": "streams.measure",
        "native": "common.native",
        "figures": "common.figures",
        "tables": "common.tables",
        "bars": "common.bars",
    }
    modules = {key: importlib.import_module(f"benchmarks.{name}") for key, name in names.items()}
    return SimpleNamespace(**modules)


def test_the_suites_agree_with_themselves(importable: None) -> None:
    """Peers, kinds, figures and plots that rows and bars name are there; keys name one row."""
    suites = importlib.import_module("benchmarks.command").SUITES
    keys = [row.key for suite in suites for row in suite.rows]
    assert len(keys) == len(set(keys))
    for suite in suites:
        rows = {row.key: row for row in suite.rows}
        assert {*suite.needed, *suite.short_peers} <= set(suite.peers)
        assert any(row.short for row in suite.rows)
        for row in suite.rows:
            assert row.kind in suite.kinds
            assert row.peers
            assert set(row.peers) <= set(suite.peers)
            assert suite.unit_of(row, suite.figure_of(row))
        for bar in suite.bars:
            assert "laplace-server" in rows[bar.row].peers
            assert not bar.against or bar.against in rows[bar.row].peers
        for plot in suite.plots:
            assert plot.needs in rows
            assert len(plot.panels) in (3, 4)
        for peer in suite.peers.values():
            package = importlib.import_module(peer.package)
            assert not peer.module or (Path(package.__path__[0]) / f"{peer.module}.py").exists()


def test_what_suites_share_knows_none_of_them() -> None:
    """And nothing asks which of the suites an object is of."""
    for path in BENCHMARKS.rglob("*.py"):
        text = path.read_text()
        folder = path.relative_to(BENCHMARKS).parts[0]
        assert "isinstance(" not in text, path
        if folder in ("common", "requests"):
            assert "benchmarks.streams" not in text, path
        if folder == "common":
            assert "benchmarks.requests" not in text, path


@pytest.mark.parametrize("argument", ["--peers", "--rows"])
def test_names_that_are_not_there_are_refused(argument: str) -> None:
    command = [sys.executable, str(BENCHMARKS / "run.py"), argument, "no such thing"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=within(60))
    assert done.returncode == 2
    assert "laplace-server" in done.stderr if argument == "--peers" else "read2x1" in done.stderr


def test_a_peer_that_fails_leaves_its_place_empty(importable: None) -> None:
    """Unless it is needed; what it was measured to do before is left out, too."""
    rounds = importlib.import_module("benchmarks.common.rounds")
    suite_module = importlib.import_module("benchmarks.common.suite")
    asked: list[str] = []

    class Working(suite_module.Peer):  # type: ignore[misc]
        def why_not(self, work: Any) -> str:
            return "it cannot" if self.name == "unable" else ""

    def measure(peer: Any, row: Any, seconds: float) -> dict[str, float]:
        asked.append(peer.name)
        if peer.name == "failing" and asked.count("failing") == 2:
            raise ValueError("no more")
        return {"per_s": seconds * len(asked)}

    names = ("needed", "failing", "unable")
    row = suite_module.Row("key", "a row", None, "kind", names)

    def suite_with(*needed: str) -> Any:
        return suite_module.Suite(
            peers={name: Working(name) for name in names},
            rows=[row],
            kinds={"kind": measure},
            needed=needed,
            short_peers=(),
            bars=(),
            plots=(),
            figure_of=lambda row: "per_s",
            unit_of=lambda row, figure: "per s",
            tables=lambda results: [],
        )

    told: list[str] = []
    suite = suite_with("needed")
    measured = rounds.run([suite], [(suite, row)], 3, 2.0, told.append)
    assert asked == ["needed", "failing", "needed", "failing", "needed"]
    assert measured["results"] == {"key": {"needed": [{"per_s": n} for n in (2.0, 6.0, 10.0)]}}
    assert measured["empty"] == {"key": {"failing": "ValueError: no more", "unable": "it cannot"}}
    assert len(told) == 1
    assert told[0].endswith("a row (per s): needed 6.00")
    asked.clear()
    suite = suite_with("failing")
    with pytest.raises(ValueError, match="no more"):
        rounds.run([suite], [(suite, row)], 3, 2.0, told.append)


def test_what_took_nothing_gives_no_ratio(stream_modules: Any) -> None:
    """As on one core, where an update is there before the call has returned."""
    ratio = stream_modules.figures.ratio
    assert (ratio(3.0, 2.0), ratio(0.0, 2.0), ratio(3.0, 0.0), ratio(0.0, 0.0)) == (
        1.5,
        0,
        None,
        None,
    )
    rounds = [{"p99_ratio": value} for value in (None, 1.5, None, 2.5)]
    bar = stream_modules.bars.Bar("row", "p99_ratio", "", False, 2.0)
    assert bar.ratios({"row": {"laplace-server": rounds}}) == [1.5, 2.5]
    assert stream_modules.tables.cell(rounds, "p99_ratio") == "2.00"
    assert stream_modules.tables.cell(rounds[:1], "p99_ratio") == "-"


WRONG_UPDATES = {
    "wrong": ([{"x": 0.5, "shot": 1}, {"x": 0.5, "shot": 2}], "a wrong update"),
    "twice": ([{"x": 0.5, "shot": 1}, {"x": 0.5, "shot": 1}], "shot 1 came after shot 1"),
    "back": ([{"x": 1.0, "shot": 2}, {"x": 0.5, "shot": 1}], "shot 1 came after shot 2"),
}


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("case", WRONG_UPDATES)
def test_a_subscriber_refuses_wrong_updates(stream_modules: Any, case: str, timed: bool) -> None:
    updates, complaint = WRONG_UPDATES[case]
    work = stream_modules.work.StreamWork(timed=timed)
    with pytest.raises(ValueError, match=complaint):
        stream_modules.checked.Checked(work, 1).taker()(updates)


def test_a_subscriber_takes_no_update_twice_for_two(stream_modules: Any) -> None:
    work = stream_modules.work.StreamWork()
    updates = [stream_modules.work.update_of(work, shot, shot == 4) for shot in (1, 3, 3, 4)]
    checked = stream_modules.checked.Checked(work, 1, True)
    assert checked.taker()(updates)
    assert (checked.received, checked.missing) == (3, 1)


def test_a_subscriber_refuses_a_wrong_array(stream_modules: Any) -> None:
    work = stream_modules.work.StreamWork(images=True)
    update = stream_modules.work.update_of(work, 1)
    assert np.array_equal(update["image"], np.ones(stream_modules.work.SHAPE))
    update["image"][-1, -1] += 1
    with pytest.raises(ValueError, match="the image of shot 1 is wrong"):
        stream_modules.checked.Checked(work, 1).taker()([update])


@pytest.mark.parametrize("portions", [1, 2, 10])
def test_a_subscriber_counts_what_is_missing(stream_modules: Any, portions: int) -> None:
    work = stream_modules.work.StreamWork()
    updates = [stream_modules.work.update_of(work, shot, shot == 20) for shot in range(11, 21)]
    del updates[3:5], updates[0]
    checked = stream_modules.checked.Checked(work, 11)
    take = checked.taker()
    ends = [take(updates[begin : begin + portions]) for begin in range(0, 7, portions)]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert (checked.received, checked.missing) == (7, 3)


def test_a_failure_is_told(stream_modules: Any) -> None:
    peer = stream_modules.streaming.StreamPeer("laplace-server", "laplace")
    with stream_modules.streaming.streaming(peer, stream_modules.work.StreamWork()) as stream:
        stream.run(3)
        stream.last = 10  # so that subscribers expect what is none of theirs
        stream.subscribe()
        stream.run(1, last=True)
        with pytest.raises(RuntimeError, match="ValueError: shot 4 came after shot 10"):
            stream.seen()


def test_what_a_stopped_subscriber_lost_is_what_it_is_told(stream_modules: Any) -> None:
    peer = stream_modules.streaming.StreamPeer("laplace-server", "laplace")
    work = stream_modules.work.StreamWork(history_bytes=10_000)
    with stream_modules.streaming.streaming(peer, work) as stream:
        stream.subscribe(2)
        with stream_modules.measure.stopped(stream.subscribers[1]):
            stream.run(100_000)
        stream.run(1, last=True)
        for seen in stream.seen():
            assert seen.received + seen.missing == 100_001
            assert seen.told == seen.missing
        assert seen.missing > 0


@pytest.mark.parametrize(
    ("updates", "complaint"),
    [
        (['{"x":0.5,"shot":1}', '{"x":0.5,"shot":1}'], "out of order"),
        (["[]"], "a wrong update"),
        (['{"x":0.5,"shot":1}', '{"x":-1.0,"shot":5}'], ""),
    ],
)
def test_the_native_subscriber_checks_updates(
    stream_modules: Any, updates: list[str], complaint: str
) -> None:
    native = stream_modules.native
    with zmq.Context() as context:
        publisher = context.socket(zmq.XPUB)
        publisher.linger = 0
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        command = [native.compiled("pubsub"), "subscribe", native.libzmq(), "0", str(port)]
        subscriber = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert publisher.recv() == b"\1"
            for update in updates:
                publisher.send_string(update)
            output, errors = subscriber.communicate(timeout=within(60))
        finally:
            subscriber.kill()
            subscriber.communicate()
            publisher.close()
    if complaint:
        assert subscriber.returncode == 1
        assert complaint in errors
        return
    ready, seen = output.splitlines()
    assert ready == "ready"
    assert (json.loads(seen)["received"], json.loads(seen)["missing"]) == (2, 3)


def test_a_bar_of_p50_or_p99_is_missed_where_three_quarters_of_the_rounds_miss_it(
    stream_modules: Any,
) -> None:
    bars = stream_modules.bars

    def outcome(figure: str, ratios: list[float], limit: float | None = 2.0) -> Any:
        results = {"row": {"laplace-server": [{figure: value} for value in ratios]}}
        (found,) = bars.outcomes([bars.Bar("row", figure, "", False, limit)], results)
        return found

    many_miss, most_miss = [1.0, 1.0, 3.0, 3.0, 3.0], [1.0, 3.0, 3.0, 3.0]
    for figure in ("p50", "p99", "p99_ratio"):
        assert outcome(figure, many_miss).met
        assert not outcome(figure, most_miss).met
    assert not outcome("cpu_us", many_miss).met
    assert outcome("cpu_us", [*many_miss, 1.0, 1.0]).met
    assert outcome("p50", most_miss).missed_rounds == 3
    assert outcome("p50", most_miss, None).met


@pytest.mark.parametrize("work", [{"floats": 2}, {"floats": 300}, {"command": True}])
def test_raw_answers_what_the_server_answers(importable: None, work: dict[str, Any]) -> None:
    modules = {
        name: importlib.import_module(f"benchmarks.requests.{name}") for name in ("rows", "work")
    }
    asked = modules["work"].Work(**work)
    for name in ("laplace-server", "raw"):
        with modules["rows"].PEERS[name].start(asked) as server, zmq.Context() as context:
            port = server.address.rsplit(":", 1)[-1]
            with context.socket(zmq.REQ) as client:
                client.linger = 0
                client.rcvtimeo = round(1000 * within(20))
                client.connect(f"tcp://127.0.0.1:{port}")
                client.send(modules["work"].request_of(asked))
                assert client.recv() == modules["work"].reply_of(asked), name


def test_a_crowd_that_the_system_forbids_is_smaller(
    importable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = importlib.import_module("benchmarks.common.processes")
    crowd = importlib.import_module("benchmarks.requests.crowd")
    now = [1024, 4096]

    def set_limit(_: int, limits: tuple[int, int]) -> None:
        now[:] = limits

    monkeypatch.setattr(processes.resource, "getrlimit", lambda _: tuple(now))
    monkeypatch.setattr(processes.resource, "setrlimit", set_limit)
    assert crowd.possible(500) == 500
    assert now == [1024, 4096]
    assert crowd.possible(2000) == 2000
    assert now == [2200, 4096]
    assert crowd.possible(10_000) == 3896
    assert now == [4096, 4096]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what is stored is for x86-64")
def test_no_more_instructions_than_stored() -> None:
    guard = [sys.executable, str(BENCHMARKS / "instructions.py")]
    done = subprocess.run(guard, capture_output=True, text=True, timeout=within(100))
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("instructions") == 3
