"""laplace-server record and replay."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.command_line import CLI, LIMIT_S, environment, failed, run
from support.peers import address_of
from support.serving import MakeServer
from support.waiting import wait_until

pytest.importorskip("hdf5plugin")

import h5py
from rich.console import Console

import laplace_server.recording as recording
from laplace_server.cli.recorder_views import TerminalView
from laplace_server.client import ClientLHC
from laplace_server.recording import RecorderStats, StreamStats


def begin(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*CLI, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT for another process")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_record_until_told(make_server: MakeServer, tmp_path: Path, number: str) -> None:
    server, other = make_server(), make_server(name="other")
    for n in range(20):
        server.publish("shots", {"n": n})
    where = address_of(server).removeprefix("tcp://")
    path = tmp_path / "r.h5"
    told = getattr(signal, number)
    # It ignores what it has inherited as ignored, as whoever runs the tests by nohup has it.
    inherited = signal.signal(told, signal.SIG_DFL)
    try:
        process = begin("record", f"{where}/shots", address_of(other), "-o", str(path))
    finally:
        signal.signal(told, inherited)
    wait_until(lambda: path.exists() and rows(path) == 20, "all are there", LIMIT_S)
    process.send_signal(told)
    out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (0, "")
    last = out.splitlines()[-1]
    assert last.startswith("20 updates recorded, 0 lost, ")
    assert last.endswith(f"the last is {path}.")


def rows(path: Path) -> int:
    with recording.open(path) as opened:
        return sum(stream.rows for server in opened.values() for stream in server.values())


def test_progress_and_the_end(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.publish("shots", {"n": 1})
    where, path = address_of(server), tmp_path / "r.h5"
    options = ["-o", str(path), "--seconds", "2.5", "--compression", "gzip", "--part-size", "1G"]
    done = run("record", where, *options)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("1 update  ")
    assert " free" in done.stdout
    assert "is there already" in failed("record", where, "-o", str(path), status=1)
    done = run("record", where, "-o", str(path), "--resume", "--seconds", "0.5")
    assert "0 updates recorded, 0 lost" in done.stdout
    assert "r-0002.h5" in done.stdout


def test_what_is_not_written_does_not_count(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.declare_stream("shots")
    path = tmp_path / "r.h5"
    options = ["-o", str(path), "--keep-free", "100000T"]
    process = begin("record", f"{address_of(server)}/shots", *options, "--seconds", "4")
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "of which 100,000.0 TB are to be left (free_bytes, or --keep-free)" in first
    server.publish("shots", {"n": 1})
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "0 updates recorded, 1 not written, 0 lost" in out.splitlines()[-1]
    assert err.splitlines()[-1].startswith("laplace-server: 1 updates are not in ")
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not noticed")
def test_what_another_one_writes_is_not_resumed(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.publish("shots", {"n": 1})
    where, path = address_of(server), tmp_path / "r.h5"
    process = begin("record", where, "-o", str(path))
    try:
        wait_until(lambda: path.exists() and rows(path) == 1, "it is there", LIMIT_S)
        with h5py.File(path) as file:  # HDF5's own lock is another one
            assert len(file) == 1
        said = failed("record", where, "-o", str(path), "--resume", status=1)
        assert f"{path} is still written by another recorder" in said
    finally:
        process.kill()
        process.communicate()
    server.publish("shots", {"n": 2})
    assert run("record", where, "-o", str(path), "--resume", "--seconds", "0.5").returncode == 0
    assert rows(path) == 2


def test_what_is_not_followed_is_told_once(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.declare_stream("shots")
    where, path = address_of(server), tmp_path / "r.h5"
    process = begin("record", f"{where}/shots", f"{where}/later", "-o", str(path))
    try:
        assert process.stderr is not None
        missed = f"laplace-server: later of {where} is not followed: "
        assert process.stderr.readline().startswith(missed)
        server.publish("later", {"n": 1})
        assert process.stderr.readline() == f"laplace-server: later of {where} is followed again.\n"
        wait_until(lambda: path.exists() and rows(path) == 1, "it is there", LIMIT_S)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=LIMIT_S)
    assert (err, process.returncode) == ("", 0)


def test_what_was_never_followed_is_a_failure(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.publish("shots", {"n": 1})
    where, away = address_of(server), "tcp://127.0.0.1:1"
    sources = [f"{where}/shots", f"{where}/nosuch", away, "--timeout", "0.5"]
    done = run("record", *sources, "-o", str(tmp_path / "r.h5"), "--seconds", "3")
    assert done.returncode == 1
    assert "1 update recorded, 0 lost" in done.stdout
    told = [line for line in done.stderr.splitlines() if ": nothing has come of " in line]
    assert len(told) == 2
    assert f"nothing has come of {away}: " in told[0]
    assert f"nothing has come of nosuch of {where}: " in told[1]


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["127.0.0.1:1/"], "has no name of a stream", 2),
        (["127.0.0.1:1", "--part-size", "much"], "--part-size is a size such as 500M", 2),
        (["127.0.0.1:1", "--part-size", "0"], "--part-size must be more than 0", 2),
        (["127.0.0.1:1", "--part-seconds", "0"], "--part-seconds must be a positive", 2),
        (["127.0.0.1:1", "--memory", "0"], "--memory must be more than 0", 2),
        (["127.0.0.1:1", "--start", "0"], "--start is 'latest', 'newest', 'oldest' or a number", 2),
        (["127.0.0.1:1", "--compression", "zip"], "--compression is lz4, gzip or none, not", 2),
        (["127.0.0.1:1", "--when-full", "stop"], "--when-full is wait or remove-oldest, not", 2),
        (["127.0.0.1:1", "-o", "nowhere/r.h5"], "the folder nowhere does not exist", 1),
        (["127.0.0.1:1", "-o", "."], "is a folder", 1),
        (["127.0.0.1:1", "-o", ".", "--resume"], "is a folder", 1),
        (["127.0.0.1:1", "--keys", "folder"], "--keys is for --follow-saving", 2),
        (["127.0.0.1:1", "--name", "rec"], "--name is for --follow-saving", 2),
        (["127.0.0.1:1", "--follow-saving", "--resume"], "--resume is for a recording that", 2),
        (["127.0.0.1:1", "--cert-key", "file"], "--cert-key is for NATS", 2),
        (["nats://127.0.0.1:1/a", "--key", "file"], "--key is for servers, not for NATS", 2),
        (["127.0.0.1:1", "--follow-saving", "--address", "nowhere"], "The address must be", 2),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, status: int, tmp_path: Path) -> None:
    if "-o" not in arguments:
        arguments = [*arguments, "-o", str(tmp_path / "r.h5")]
    assert said in failed("record", *arguments, status=status)


def test_a_master_says_when(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.declare_stream("shots")
    path = tmp_path / "r.h5"
    options = ["-o", str(path), "--follow-saving", "--address", "127.0.0.1:*"]
    process = begin("record", f"{address_of(server)}/shots", *options)
    try:
        assert process.stdout is not None
        where = process.stdout.readline().split()[-4]
        with ClientLHC(where, timeout_s=LIMIT_S) as master:
            master.toggle_saving(True)
            server.publish("shots", {"n": 1})
            wait_until(lambda: master.get()["updates"] == 1, "it came", LIMIT_S)
            master.toggle_saving(False)
            assert rows(path) == 1
            master.toggle_saving(True)
            server.publish("shots", {"n": 2})
            wait_until(lambda: master.get()["updates"] == 1, "it came", LIMIT_S)
            assert "is a whole one" in failed("save", where, "~/data", status=1)
            done = run("save", where, "--off")
            assert done.stdout == f"{where} ends saving\n"
            done = run("save", where, str(tmp_path / "day"), "--on")
            assert done.stdout == f"{where} saves to {tmp_path / 'day'}, begins saving\n"
            master.stop_server()
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    (refused,) = err.splitlines()  # without a traceback
    assert "a path to save to is a whole one" in refused
    assert rows(tmp_path / "r_2.h5") == 1
    assert rows(tmp_path / "day" / "r.h5") == 0
    assert out.splitlines()[-1].startswith("0 updates recorded, 0 lost")


def test_replay(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(name="laser")
    for n in range(50):
        server.publish("shots", {"n": n}, timestamp=float(n))
    path = tmp_path / "r.h5"
    assert run("record", address_of(server), "-o", str(path), "--seconds", "3").returncode == 0
    process = begin("replay", str(path), "--speed", "full", "--wait")
    assert process.stdout is not None
    name, _, where = process.stdout.readline().split()
    assert name == "laser"
    assert process.stdout.readline() == "50 updates\n"
    with ClientLHC(where, timeout_s=LIMIT_S) as client:
        with client.subscribe("shots", start="oldest") as shots:
            times = [shots.next(LIMIT_S).timestamp for _ in range(50)]
    assert times == [float(n) for n in range(50)]
    out, err = process.communicate(timeout=LIMIT_S)
    assert (out, err, process.returncode) == ("50 updates published.\n", "", 0)
    # Addresses may lack their "tcp://", and what is wrong with them is told once.
    done = run("replay", str(path), "--speed", "1000", "--address", "127.0.0.1:*")
    assert done.stdout.startswith("laser at tcp://127.0.0.1:")
    assert done.stdout.endswith("\n50 updates in 0 s\n50 updates published.\n")
    wrong = failed("replay", str(path), "--address", "nowhere", status=2)
    assert len(wrong.splitlines()) == 1
    assert "is a folder" in failed("replay", str(tmp_path), status=1)
    assert "no such file" in failed("replay", str(tmp_path / "x.h5"), status=1).lower()
    assert "--speed is a positive number" in failed("replay", str(path), "--speed", "0", status=2)


def test_what_a_terminal_shows() -> None:
    shown = io.StringIO()
    view = TerminalView(Console(file=shown, force_terminal=True, width=100, highlight=False))
    streams = [
        StreamStats("laser", "shots", "tcp://127.0.0.1:1", 1234, 10, 7, None),
        StreamStats("camera", "images", "tcp://127.0.0.1:2", 5, 10, 0, "nobody listens there"),
    ]
    stats = RecorderStats(
        path=Path("run.h5"),
        files=2,
        written=5_000_000,
        free=3 * 10**9,
        held=0,
        paused="the disk is full",
        troubles={"tcp://127.0.0.1:3": "no answer"},
        streams=streams,
    )
    view.show(stats)
    view.close(stats._replace(written=6_000_000))
    text = shown.getvalue()
    for words in ("laser", "1,234", "images of tcp://127.0.0.1:2: nobody", "3 GB free", " left"):
        assert words in text
    assert "nothing is written: the disk is full" in text
    assert "tcp://127.0.0.1:3: no answer" in text
    assert text.rstrip().endswith("6 MB written, 2 files; the last is run.h5.")
