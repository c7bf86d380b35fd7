"""``laplace-server stream``, run as a process: what it shows, and how it ends."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import signal
import subprocess
import threading
from datetime import date
from typing import Any

import numpy as np
import pytest
from support.command_line import LIMIT_S, environment
from support.command_line import failed as failed_command
from support.command_line import run as run_command
from support.following import STREAM, Follow
from support.isolated import Child
from support.machine import INTERRUPT, WINDOWS
from support.peers import address_of

from laplace_server import ServerLHC
from laplace_server.cli.shown import json_default
from laplace_server.sim import SimulatedCamera

run = functools.partial(run_command, "stream")


failed = functools.partial(failed_command, "stream")


def subscribed(server: ServerLHC, eventually: Any, count: int = 1) -> None:
    assert eventually(lambda: len(server.stats().subscribers) == count, LIMIT_S)


# -- JSON


def test_json_gives_every_update(server: ServerLHC) -> None:
    for n in range(1, 1001):
        server.publish("s", {"n": n, "text": "é€"}, timestamp=n / 8)
    done = run(address_of(server), "s", "--start", "oldest", "--count", "1000", "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {
            "stream": "s",
            "seq": n,
            "epoch": server.epoch,
            "timestamp": n / 8,
            "lost_before": 0,
            "data": {"n": n, "text": "é€"},
        }
        for n in range(1, 1001)
    ]


def test_json_of_arrays_and_of_what_json_lacks(server: ServerLHC) -> None:
    image = np.arange(6, dtype="u2").reshape(2, 3)
    server.publish("s", {"image": image, "z": np.array([1 + 2j]), "v": [math.inf, 2**70]})
    server.publish("s", {"nan": np.array(math.nan)})
    done = run(address_of(server), "s", "--start", "1", "--count", "2", "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    first, second = (json.loads(line)["data"] for line in done.stdout.splitlines())
    assert first == {"image": [[0, 1, 2], [3, 4, 5]], "z": [[1.0, 2.0]], "v": [math.inf, 2**70]}
    assert repr(second) == repr({"nan": math.nan})
    # Servers in other languages may send these, too.
    assert json_default(b"a\xff") == "a\\xff"
    assert json_default(date(2024, 2, 29)) == "2024-02-29"


def test_the_newest_comes_at_once(server: ServerLHC) -> None:
    for n in range(1, 11):
        server.publish("s", {"n": n})
    done = run(address_of(server), "s", "--start", "newest", "--count", "1", "--json")
    assert (done.stderr, done.returncode) == ("", 0)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert (line["seq"], line["lost_before"]) == (10, 0)


def test_json_comes_at_once(server: ServerLHC, follow: Follow, eventually: Any) -> None:
    server.declare_stream("s")
    following = follow(address_of(server), "s", "--json")
    subscribed(server, eventually)
    for n in range(1, 4):
        server.publish("s", {"n": n})
        assert following.update()["seq"] == n  # before the next one is published


def test_losses_are_in_the_lines(server: ServerLHC) -> None:
    server.declare_stream("s", history_count=1)
    for n in range(1, 2001):
        server.publish("s", {"n": n, "pad": "p" * 1000})
    done = run(address_of(server), "s", "--start", "1", "--count", "1", "--json")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["seq"] == line["lost_before"] + 1 > 1


def test_a_reader_that_goes_away(server: ServerLHC) -> None:
    for n in range(100_000):
        server.publish("s", {"n": n})
    following = subprocess.Popen(
        [*STREAM, address_of(server), "s", "--start", "oldest", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["seq"] == 1
        following.stdout.close()
        assert following.stderr is not None
        assert following.stderr.read() == ""
        assert following.wait(LIMIT_S) == 1


# -- lines


def test_lines(server: ServerLHC, follow: Follow, eventually: Any) -> None:
    server.declare_stream("s")
    following = follow(address_of(server), "s")
    subscribed(server, eventually)
    server.publish("s", {"shot": 17, "image": np.zeros((4, 5), "u2")})
    image = r"uint16 4 x 5  min 0  mean 0  max 0"
    shown = r"\d\d:\d\d:\d\d\.\d\d\d  #1  [0-9.,]+/s  lost 0  lag 0  latency [-0-9.,]+ m?s  "
    assert re.fullmatch(shown + rf'{{"shot": 17, "image": {image}}}', following.line())
    following.process.send_signal(INTERRUPT)
    assert re.fullmatch(r"1 update received in [0-9.]+ s \([0-9.]+/s\), 0 lost\.", following.line())
    assert following.end() == 0
    assert following.notices.empty()


def test_lines_are_few_and_short(server: ServerLHC) -> None:
    for n in range(1, 10_001):
        server.publish("s", {"n": n, "list": list(range(100))})
    done = run(address_of(server), "s", "--start", "oldest", "--count", "10000")
    assert done.returncode == 0
    *lines, summary = done.stdout.splitlines()
    assert 1 <= len(lines) <= LIMIT_S
    assert "#10000 " in lines[-1]
    assert all(len(line) <= 200 for line in lines)
    assert summary.startswith("10,000 updates received in ")


def test_latest_only_skips(server: ServerLHC) -> None:
    for n in range(1, 101):
        server.publish("s", {"n": n})
    done = run(address_of(server), "s", "--start", "oldest", "--latest-only", "--count", "1")
    line, summary = done.stdout.splitlines()
    assert "#100 " in line
    assert "skipped 99 " in line
    assert summary.endswith(", 99 skipped.")


# Windows has no SIGTERM between processes.
@pytest.mark.parametrize("number", [INTERRUPT] if WINDOWS else [INTERRUPT, signal.SIGTERM])
def test_a_signal_ends_it(server: ServerLHC, follow: Follow, eventually: Any, number: int) -> None:
    server.declare_stream("s")
    following = follow(address_of(server), "s", "--json")
    subscribed(server, eventually)
    server.publish("s", {})
    assert following.update()["seq"] == 1
    following.process.send_signal(number)
    assert following.end() == 0
    assert following.notices.empty()
    assert following.lines.empty()
    subscribed(server, eventually, count=0)


def test_the_time_ends_it(server: ServerLHC) -> None:
    server.publish("s", {})
    done = run(address_of(server), "s", "--seconds", "0.1")
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("0 updates received in 0.")
    done = run(address_of(server), "s", "--start", "1", "--count", "2", "--seconds", "0.1")
    assert done.stderr == "laplace-server: 1 of 2 updates came within 0.1 s.\n"
    assert done.returncode == 1


# -- which stream


@pytest.mark.parametrize(
    ("declared", "chosen"), [(["images"], "images"), (["images", "data"], "data"), ([], "data")]
)
def test_the_stream_that_is_followed_unless_told(
    server: ServerLHC, follow: Follow, eventually: Any, declared: list[str], chosen: str
) -> None:
    for name in declared:
        server.declare_stream(name)
    following = follow(address_of(server), "--json")
    subscribed(server, eventually)
    server.set_data({"n": 1})
    if "images" in declared:
        server.publish("images", {"n": 1})
    update = following.update()
    assert (update["stream"], update["data"]) == (chosen, {"n": 1})


def test_several_streams_are_listed(server: ServerLHC) -> None:
    server.declare_stream("images")
    server.declare_stream("old", history_count=1)
    for _ in range(1234):
        server.publish("é\x1b[31m", {})
    assert failed(address_of(server), status=1) == (
        f"laplace-server: {address_of(server)} has several streams. Name one after the address:\n"
        "  images     no updates yet\n"
        "  old        no updates yet\n"
        "  é\\x1b[31m  updates 1 to 1,234\n"
    )


def test_there_is_no_such_stream(server: ServerLHC) -> None:
    server.declare_stream("images")
    message = failed(address_of(server), "image", status=1)
    assert message == (
        f"laplace-server: {address_of(server)} answered SUBSCRIBE with an error: "
        "No such stream: 'image'. There are: images.\n"
    )


def test_a_server_without_streams(server: ServerLHC) -> None:
    server.capabilities = ["INFO", "PING", "GET"]
    message = failed(address_of(server), status=1)
    assert message == (
        f"laplace-server: {address_of(server)} has no streams: it is a laplace-server before 1.0.\n"
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--start", "first"],
        ["--start", "0"],
        ["--start", "1.5"],
        ["--count", "0"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
        ["--timeout", "-1"],
    ],
    ids=str,
)
def test_wrong_options(options: list[str]) -> None:
    assert failed("localhost:5555", "s", *options, status=2)


def test_nobody_answers(server: ServerLHC) -> None:
    server.stop()
    address = address_of(server)
    for name in ([], ["s"]):
        message = failed(address, *name, "--timeout", "0.1", status=1)
        assert (
            message
            == f"laplace-server: no answer from {address} within 0.1 s: nobody listens there.\n"
        )


def test_arrays_without_numpy(server: ServerLHC, tmp_path: Any) -> None:
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('No numpy here')")
    server.publish("s", {"a": np.zeros(3)})
    search = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [*STREAM, address_of(server), "s", "--start", "oldest", "--json"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert (done.stdout, done.returncode) == ("", 1)
    assert "pip install '.[arrays]' in a clone" in done.stderr
    assert "Traceback" not in done.stderr


# -- the server goes and comes


def test_a_server_that_goes_and_comes_back(make_server: Any, follow: Follow) -> None:
    first = make_server()
    first.publish("s", {"life": 1})
    following = follow(address_of(first), "s", "--start", "oldest", "--json")
    assert following.update()["data"] == {"life": 1}
    first.stop()
    goes_on = "following goes on when it is back."
    assert following.notice() == f"laplace-server: the server has ended; {goes_on}"
    second = make_server(address=address_of(first), start=False)
    second.publish("s", {"life": 2})
    second.start()
    update = following.update()
    assert (update["data"], update["epoch"]) == ({"life": 2}, second.epoch)
    notices = {following.notice(), following.notice()}
    assert notices == {
        "laplace-server: the server answers again.",
        "laplace-server: the server was restarted; its updates count from 1 again.",
    }


SERVER = """
from laplace_server import ServerLHC
server = ServerLHC("s", "tcp://127.0.0.1:*", 0, "CAMERA")
server.publish("s", {})
server.start()
print(server.server_port, flush=True)
"""


def test_a_server_that_is_killed(make_child: Any, follow: Follow) -> None:
    child: Child = make_child(SERVER)
    following = follow(f"tcp://127.0.0.1:{child.hear()}", "s", "--start", "oldest", "--json")
    assert following.update()["seq"] == 1
    child.process.kill()
    gone = (
        r"laplace-server: no word from the server since \d\d:\d\d:\d\d: nobody listens there; "
        r"following goes on when it is back\."
    )
    assert re.fullmatch(gone, following.notice())


def test_a_quiet_server_is_not_gone(server: ServerLHC, follow: Follow, eventually: Any) -> None:
    server.publish("s", {})
    following = follow(address_of(server), "s", "--start", "1", "--json")
    assert following.update()["seq"] == 1
    # It has asked whether the server is there, and says nothing.
    assert eventually(lambda: server.stats().commands["PING"].native >= 3, LIMIT_S)
    server.publish("s", {})
    assert following.update()["seq"] == 2
    assert following.notices.empty()


# -- on a terminal


@pytest.mark.skipif(WINDOWS, reason="no pseudo-terminals")
def test_on_a_terminal(eventually: Any) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    inherited = {**environment(), "TERM": "xterm"}
    for name in ("COLUMNS", "LINES"):
        inherited.pop(name, None)
    with SimulatedCamera(rate_hz=100) as camera:
        command = [*STREAM, camera.local_address]
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=inherited)
        os.close(theirs)
        seen = bytearray()

        def read() -> None:
            try:
                while chunk := os.read(ours, 65536):
                    seen.extend(chunk)
            except OSError:  # the other end is closed
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            for wanted in (
                b"Stream 'images' of tcp://",
                b"uint16 12 x 16  min ",
                b"(if the clocks",
            ):
                assert eventually(lambda wanted=wanted: wanted in seen, LIMIT_S), bytes(seen)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
            process.wait(LIMIT_S)
            reader.join(LIMIT_S)
            os.close(ours)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", bytes(seen)).decode()
    assert re.search(r"\n\d+ updates received in [0-9.]+ s \([0-9.]+/s\), 0 lost\.\r\n$", text)
    assert all(len(line) <= 80 for line in text.replace("\r", "\n").split("\n"))
    assert seen.count(b"\x1b[?25h") == 1  # the cursor is there again
