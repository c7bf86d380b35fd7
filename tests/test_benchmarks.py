"""The benchmarks run, refuse wrong answers, and count instructions; nothing is timed."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path

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
