"""The benchmarks run, refuse wrong answers, and count instructions; nothing is timed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq
from machine import within
from original import require_original

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

pytestmark = [
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
    ]
    peers = ["laplace-server", "0.2.0", "echo", "pyzmq, orjson"]
    command = [sys.executable, str(BENCHMARKS / "run.py"), "--rounds", "1", "--seconds", "0.05"]
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
    assert "| read of 2 floats, 1 client |" in report
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
def stream_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmarks that run streams, as ``run.py`` imports them."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield SimpleNamespace(
        work=importlib.import_module("streams.work"),
        programs=importlib.import_module("stream_programs"),
        measure=importlib.import_module("stream_measure"),
        report=importlib.import_module("stream_report"),
        bars=importlib.import_module("bars"),
    )
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_what_took_nothing_gives_no_ratio(stream_modules: Any) -> None:
    """As on one core, where an update is there before the call has returned."""
    ratio = stream_modules.measure._ratio
    assert (ratio(3.0, 2.0), ratio(0.0, 2.0), ratio(3.0, 0.0), ratio(0.0, 0.0)) == (
        1.5,
        0,
        None,
        None,
    )
    rounds = [{"p99_ratio": value} for value in (None, 1.5, None, 2.5)]
    bar = stream_modules.bars.Bar("row", "p99_ratio", "", False, 2.0)
    assert bar.ratios({"row": {"laplace-server": rounds}}) == [1.5, 2.5]
    assert stream_modules.report._cell(rounds, "p99_ratio", "{:.1f}".format) == "2.0"
    assert stream_modules.report._cell(rounds[:1], "p99_ratio", "{:.1f}".format) == "-"


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
        stream_modules.work.Checked(work, 1).taker()(updates)


def test_a_subscriber_takes_no_update_twice_for_two(stream_modules: Any) -> None:
    work = stream_modules.work.StreamWork()
    updates = [stream_modules.work.update_of(work, shot, shot == 4) for shot in (1, 3, 3, 4)]
    checked = stream_modules.work.Checked(work, 1, True)
    assert checked.taker()(updates)
    assert (checked.received, checked.missing) == (3, 1)


def test_a_subscriber_refuses_a_wrong_array(stream_modules: Any) -> None:
    work = stream_modules.work.StreamWork(images=True)
    update = stream_modules.work.update_of(work, 1)
    assert np.array_equal(update["image"], np.ones(stream_modules.work.SHAPE))
    update["image"][-1, -1] += 1
    with pytest.raises(ValueError, match="the image of shot 1 is wrong"):
        stream_modules.work.Checked(work, 1).taker()([update])


@pytest.mark.parametrize("portions", [1, 2, 10])
def test_a_subscriber_counts_what_is_missing(stream_modules: Any, portions: int) -> None:
    work = stream_modules.work.StreamWork()
    updates = [stream_modules.work.update_of(work, shot, shot == 20) for shot in range(11, 21)]
    del updates[3:5], updates[0]
    checked = stream_modules.work.Checked(work, 11)
    take = checked.taker()
    ends = [take(updates[begin : begin + portions]) for begin in range(0, 7, portions)]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert (checked.received, checked.missing) == (7, 3)


def test_a_failure_is_told(stream_modules: Any) -> None:
    peer = stream_modules.programs.StreamPeer("laplace-server", "laplace")
    with stream_modules.programs.streaming(peer, stream_modules.work.StreamWork()) as stream:
        stream.run(3)
        stream.last = 10  # so that subscribers expect what is none of theirs
        stream.subscribe()
        stream.run(1, last=True)
        with pytest.raises(RuntimeError, match="ValueError: shot 4 came after shot 10"):
            stream.seen()


def test_what_a_stopped_subscriber_lost_is_what_it_is_told(stream_modules: Any) -> None:
    peer = stream_modules.programs.StreamPeer("laplace-server", "laplace")
    work = stream_modules.work.StreamWork(history_bytes=10_000)
    with stream_modules.programs.streaming(peer, work) as stream:
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
    programs = importlib.import_module("programs")
    with zmq.Context() as context:
        publisher = context.socket(zmq.XPUB)
        publisher.linger = 0
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        command = [programs.compiled("pubsub"), "subscribe", programs.libzmq(), "0", str(port)]
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


@pytest.fixture(scope="module")
def load_generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("load") / "load"
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    source = BENCHMARKS / "native" / "load.cpp"
    compiler = os.environ.get("CXX", "c++").split()
    subprocess.run([*compiler, *options, str(source), "-o", str(program)], check=True)
    return program


REPLY = b'{"payload": {"data": {"x": %d}}, "error_msg": null}'


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize(
    ("check", "replies", "complaint"),
    [
        ("same", [REPLY % 1], ""),
        ("same", [REPLY % 1, REPLY % 2], "differs from the first"),
        ("like", [REPLY % 1, REPLY % 22], ""),
        ("like", [REPLY % 1, b'{"payload": {}, "error_msg": null}'], "not like the first"),
        ("like", [REPLY % 1, (REPLY % 1).replace(b"null", b'"no"')], "not like the first"),
    ],
)
def test_the_load_generator_checks_replies(
    load_generator: Path, clients: int, check: str, replies: list[bytes], complaint: str
) -> None:
    with zmq.Context() as context:
        server = context.socket(zmq.REP)
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        over = threading.Event()
        requests = set()

        def answer() -> None:
            count = 0
            while not over.is_set():
                if server.poll(10):
                    requests.add(server.recv())
                    server.send(replies[count % len(replies)])
                    count += 1

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            command = [str(load_generator), str(port), str(clients), "2", "0.05", "0", check]
            done = subprocess.run(command, input=b"asked", capture_output=True, timeout=60)
        finally:
            over.set()
            answering.join()
            server.close()
    assert requests == {b"asked"}
    if complaint:
        assert done.returncode == 1
        assert complaint in done.stderr.decode()
        return
    assert done.returncode == 0, done.stderr.decode()
    first, figures = done.stdout.splitlines()
    seen = json.loads(figures)
    assert first == replies[0]
    assert 0 < seen["replies"] <= seen["total"]
    assert 0 < seen["p50_us"] <= seen["p99_us"] <= seen["max_us"]


def test_the_open_loop_charges_a_stall_to_what_it_kept_waiting(load_generator: Path) -> None:
    """A server that stalls once makes all requests due meanwhile late, not just one."""
    with zmq.Context() as context:
        server = context.socket(zmq.ROUTER)
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        over = threading.Event()

        def answer() -> None:
            count = 0
            while not over.is_set():
                if server.poll(10):
                    count += 1
                    if count == 200:
                        over.wait(0.2)
                    server.send_multipart(server.recv_multipart())

        answering = threading.Thread(target=answer)
        answering.start()
        try:
            command = [str(load_generator), str(port), "2", "1", "1.0", "1000", "same"]
            done = subprocess.run(command, input=b"asked", capture_output=True, timeout=60)
        finally:
            over.set()
            answering.join()
            server.close()
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout.splitlines()[1])
    assert seen["replies"] in range(999, 1002)
    assert seen["unanswered"] == 0
    assert seen["max_us"] > 190_000
    # About 200 of 1,000 were due in the stall; a tenth of all waited 100 ms or more.
    assert seen["p99_us"] > 150_000


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what is stored is for x86-64")
def test_no_more_instructions_than_stored() -> None:
    guard = [sys.executable, str(BENCHMARKS / "instructions.py")]
    done = subprocess.run(guard, capture_output=True, text=True, timeout=within(100))
    if done.returncode == 77:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("instructions") == 2
