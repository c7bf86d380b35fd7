"""A recorder that is killed, and a disk that is full: what was committed is there."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support.isolated import Child, run_script
from support.machine import within
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder

LATEST_S = 0.5  # what is not in the file of a killed recorder is not older
CATCHES_UP_S = 1.0  # with the history of what was before it began

# Forks a recorder for each path: importing all takes longer than recording.
SCRIPT = """
import os, sys, time
import hdf5plugin
from laplace_server.client import ClientLHC
from laplace_server.recording import Recorder

for line in sys.stdin:
    child = os.fork()
    if not child:
        swmr = "swmr" in line
        with ClientLHC(sys.argv[1]) as client, Recorder(line.strip(), [client], swmr=swmr):
            time.sleep(600)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@contextmanager
def publishing(server: ServerLHC) -> Iterator[None]:
    """Small updates, and images, with a counter in both and the time."""
    ending = threading.Event()

    def publish() -> None:
        image = np.arange(200 * 300, dtype="u2").reshape(200, 300)
        number = 0
        while not ending.wait(0.002):
            number += 1
            server.publish("shots", {"n": number, "text": str(number), "x": [number / 2] * 3})
            if number % 5 == 0:
                server.publish("images", {"n": number, "image": image + number})

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_recorder_leaves_a_file_that_opens(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    for stream in ("shots", "images"):
        server.declare_stream(stream, history_bytes=1 << 20)
    rng = random.Random(19)
    recent = 0
    child = Child(SCRIPT, address_of(server))
    try:
        with publishing(server):
            for turn in range(100):
                path = tmp_path / f"{turn}{'-swmr' if turn % 2 else ''}.h5"
                child.tell(str(path))
                process = int(child.hear())
                wait_until(lambda path=path: path.exists(), "it has begun")  # type: ignore[misc]
                begun = time.time()
                # The moment is what is tried; at most of them the history is still being read.
                time.sleep(rng.uniform(0.0, 2.0 if turn % 5 == 0 else 0.6))
                os.kill(process, signal.SIGKILL)
                killed = time.time()
                assert child.hear() == "ended"
                recent += check(path, begun, killed)
                path.unlink()
    finally:
        child.close()
    assert recent > 10


def check(path: Path, begun: float, killed: float) -> bool:
    """It opens with plain h5py; each stream says where it has holes, and is nearly up to the end.

    Returns whether the recorder had caught up with the history, so that the end tells something.
    """
    for live in (False, True):
        with h5py.File(path, swmr=live) as file:
            if not len(file):
                return False  # nothing had come yet
    recent = False
    with recording.open(path) as opened:
        for name, stream in opened["tested"].items():
            numbers = [update.seq for update in stream.updates()]
            told = [(range(row.first, row.last + 1), row.kind) for row in stream.ledger]
            assert numbers == [each for some, kind in told if kind == "received" for each in some]
            accounted = [each for some, _ in told for each in some]
            assert accounted == list(range(accounted[0], accounted[-1] + 1)), name
            for update in stream.updates(max(0, stream.rows - 20)):
                n = update.data["n"]
                assert n == update.seq * (5 if name == "images" else 1)
                if name == "images":
                    assert update.data["image"][0, :2].tolist() == [n, n + 1]
                else:
                    assert (update.data["text"], update.data["x"]) == (str(n), [n / 2] * 3)
            caught_up = stream.rows > 0 and stream.timestamps[-1] > begun
            if caught_up or killed - begun > within(CATCHES_UP_S):
                recent = True
                assert killed - stream.timestamps[-1] < within(LATEST_S)
    return recent


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MB; only root may make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_old_files_make_room_on_a_disk_that_is_really_full(
    make_server: MakeServer, small_disk: Path
) -> None:
    """No room is kept free, so writes fail before a look at it tells."""
    server = make_server()
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        path = small_disk / "run.h5"
        options: dict[str, Any] = {"compression": "none", "free_bytes": 0, "part_bytes": 4 << 20}
        with Recorder(path, [(client, "shots")], when_full="remove oldest", **options) as recorder:
            for number in range(1, 121):
                server.publish("shots", {"n": number, "image": np.full((500, 500), number, "u2")})
                wait_until(
                    lambda number=number: recorder.stats().streams[0].updates >= number - 20,  # type: ignore[misc]
                    "it goes on",
                )
            wait_until(lambda: recorder.stats().streams[0].updates == 120, "all have come")
            wait_until(lambda: recorder.stats().paused is None, "it goes on")
        last = recorder.stats().path
    with recording.open(last) as opened:
        numbers = opened["tested"]["shots"]["n"][:].tolist()
        assert 1 in opened.missing_parts
    assert numbers == list(range(121 - len(numbers), 121))


def test_a_disk_that_is_really_full(make_server: MakeServer, small_disk: Path) -> None:
    """No room is kept free, so writes fail; nothing that the history holds is lost."""
    server = make_server()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(14 << 20))
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        path = small_disk / "run.h5"
        sources = [(client, "shots")]
        with Recorder(path, sources, compression="none", free_bytes=0) as recorder:
            for number in range(1, 31):
                server.publish("shots", {"n": number, "image": np.full((500, 500), number, "u2")})
            wait_until(lambda: recorder.stats().paused, "it is full")
            assert "No space left" in str(recorder.stats().paused)
            ballast.unlink()
            wait_until(lambda: recorder.stats().paused is None, "it goes on")
            wait_until(lambda: recorder.stats().streams[0].updates == 30, "all have come")
    with recording.open(path) as opened:
        stream = opened["tested"]["shots"]
        assert stream["n"][:].tolist() == list(range(1, 31))
        assert stream["image"][:, 0, 0].tolist() == list(range(1, 31))
        assert stream.lost == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leaves", ["sys.exit()", "recorder.close(); sys.exit()"])
def test_a_forked_child_leaves_the_file_alone(tmp_path: Path, leaves: str) -> None:
    """HDF5 writes what it has in memory at the end of a process, in the child too."""
    printed = run_script(
        f"""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from laplace_server import ServerLHC
        from laplace_server.client import ClientLHC
        from laplace_server.recording import Recorder
        from support.waiting import wait_until

        def publish(first):
            for number in range(first, first + 500):
                server.publish("shots", {{"n": number, "text": "x" * 100}})
            wait_until(lambda: recorder.stats().streams[0].updates == first + 500, "all have come")

        with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR") as server:
            server.declare_stream("shots")
            client = ClientLHC(f"tcp://127.0.0.1:{{server.server_port}}")
            with client, Recorder(sys.argv[1], [(client, "shots")]) as recorder:
                assert recorder.wait_followed(30)
                publish(0)
                child = os.fork()
                if child == 0:
                    {leaves}
                publish(500)
                assert os.waitpid(child, 0)[1] == 0
        print("recorded")
        """,
        str(tmp_path / "run.h5"),
    )
    assert printed.splitlines()[-1] == "recorded"
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["device/shots/n"][:].tolist() == list(range(1000))
