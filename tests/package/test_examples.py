"""Each example runs, does what it says and ends by itself."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.examples import EXAMPLES, PATIENCE_S, Example, Run, port_of
from support.fleets import Mortal
from support.nats import Broker, needs_nats
from support.ports import own_address

from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

pytestmark = pytest.mark.transports("tcp", "libzmq")

needs_pyqt6 = pytest.mark.skipif(
    importlib.util.find_spec("PyQt6") is None, reason="PyQt6 is not installed"
)
SERVERS = ["motor_server.py", pytest.param("qt_window.py", marks=needs_pyqt6)]


def test_every_example_is_tested_in_this_folder() -> None:
    tests = Path(__file__).parent.glob("test_*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in tests)
    files = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert files
    assert [name for name in files if f'"{name}"' not in text] == []


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring is not None
    assert f"python {path.name}" in docstring


@pytest.mark.parametrize("file", SERVERS)
def test_server_ends_after_the_time_given(run: Run, file: str) -> None:
    example = run(file, "--address", "tcp://127.0.0.1:*", "--seconds", "0.3")
    assert int(port_of(example)) > 0
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "stage: stopped"


@pytest.mark.parametrize("file", SERVERS)
@pytest.mark.parametrize("positions", [[0.2, 0.1], {"0": 0.2, "1": 0.1}], ids=["list", "dict"])
def test_server_moves_and_stops(
    run: Run, file: str, positions: list[float] | dict[str, float]
) -> None:
    example = run(file, "--address", "tcp://127.0.0.1:*", "--seconds", str(PATIENCE_S))
    with ClientLHC(f"tcp://127.0.0.1:{port_of(example)}", name="test") as client:
        assert client.info()["device"] == "MOTOR"
        # Refused by the example, and it goes on.
        for nonsense in (["left"], {"9": 1.0}, [1e9], [float("nan")], 5, None, [10**400]):
            client.set(nonsense)
        client.set(positions)
        deadline = time.monotonic() + PATIENCE_S
        while client.get()["positions"][:2] != [0.2, 0.1]:
            assert time.monotonic() < deadline, example.printed
        client.stop_server()
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "stage: stopped"


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process on Windows")
@pytest.mark.parametrize("file", SERVERS)
def test_server_ends_at_ctrl_c(run: Run, file: str) -> None:
    example = run(file, "--address", "tcp://127.0.0.1:*", "--seconds", str(2 * PATIENCE_S))
    port_of(example)
    example.send_signal(signal.SIGINT)
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "stage: stopped"


@needs_pyqt6
def test_window_takes_saving_from_clients(run: Run) -> None:
    example = run("qt_window.py", "--address", "tcp://127.0.0.1:*", "--seconds", str(PATIENCE_S))
    with ClientLHC(f"tcp://127.0.0.1:{port_of(example)}", name="test") as client:
        client.save("<b>/data/é€</b>")
        client.toggle_saving(True)
        deadline = time.monotonic() + PATIENCE_S
        while client.get().get("saving") is not True:
            assert time.monotonic() < deadline, example.printed
        client.stop_server()
    assert example.end() == 0, example.printed


@needs_pyqt6
@pytest.mark.parametrize("option", [[], ["--every"]], ids=["latest", "every"])
def test_live_view_shows_a_simulated_camera(run: Run, option: list[str]) -> None:
    example = run("live_view.py", "--simulate", "--seconds", "1.5", *option)
    example.wait_for("first update")
    assert example.end() == 0, example.printed
    figures = [int(word.strip(",")) for word in example.printed[-1].split() if word[0].isdigit()]
    shown, skipped, lost = figures
    assert shown > 0
    assert (skipped if option else lost) == 0


@needs_pyqt6
def test_live_view_outlives_what_it_cannot_show(
    run: Run, make_server: Callable[..., ServerLHC]
) -> None:
    server = make_server()
    address = f"tcp://127.0.0.1:{server.server_port}"
    example = run("live_view.py", "--address", address, "--seconds", str(2 * PATIENCE_S))
    example.wait_for("following")
    server.declare_stream("images")
    no_images = [None, 5, "x", [], [[]], [[1], [2, 3]], [["a"]], {"a": 1}, [[None]], [[[1]]]]
    odd = [[[10**400]], [[math.nan, math.inf, -math.inf]], [[True]], [[1e308, -1e308]], [[7, 7]]]
    deadline = time.monotonic() + PATIENCE_S

    def has_caught_up() -> bool:
        subscribers = server.stats().subscribers  # at one moment: it may subscribe anew
        return len(subscribers) > 0 and not subscribers[0].lag

    for image in [*no_images, *odd, np.zeros((3, 5000)), [[1, 2], [3, 4]]]:
        server.publish("images", {"image": image, "other": 1})
        # One at a time: sent when the window has handled the one before.
        while not has_caught_up():
            assert time.monotonic() < deadline, example.printed
            time.sleep(0.001)
    if os.name != "nt":
        example.send_signal(signal.SIGINT)
        assert example.end() == 0, example.printed
        assert example.printed[-1].startswith("live view: shown")


@needs_pyqt6
def test_many_devices_in_a_window(run: Run) -> None:
    example = run("many_devices_window.py", "--simulate", "--go", "1.5", "--seconds", "6")
    printed = [example.wait_for("tcp://") for _ in range(4)]
    assert len([line for line in printed if line.endswith(": arrived at 1.500")]) == 3
    (failed,) = (line for line in printed if "failed" in line)
    assert failed.startswith("tcp://127.0.0.1:1: move failed: No answer from tcp://127.0.0.1:1 to")
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "devices: closed"


@needs_pyqt6
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process on Windows")
def test_many_devices_of_which_one_sends_nonsense(
    run: Run, make_server: Callable[..., ServerLHC]
) -> None:
    servers = [
        make_server(data={"positions": 5}),
        make_server(data={"positions": [None, "x", 0.5]}),
    ]
    addresses = [f"tcp://127.0.0.1:{server.server_port}" for server in servers]
    example = run("many_devices_window.py", "--address", *addresses, "--go", "0.5")
    deadline = time.monotonic() + PATIENCE_S
    while min(server.stats().commands["GET"].native for server in servers) < 5:
        assert time.monotonic() < deadline, example.printed
    example.send_signal(signal.SIGINT)
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "devices: closed"


def test_client_says_why_there_is_no_answer(run: Run) -> None:
    client = run("client.py", "--address", own_address(), "--seconds", "1")
    assert client.wait_for("no answer") == "no answer (nobody listens there), trying again"
    assert client.end() == 1


def test_client_reads_and_moves(run: Run) -> None:
    server = run(
        "motor_server.py", "--address", "tcp://127.0.0.1:*", "--seconds", str(2 * PATIENCE_S)
    )
    address = f"tcp://127.0.0.1:{port_of(server)}"
    client = run(
        "client.py", "--address", address, "--move", "1", "-2", "--rate", "20", "--seconds", "0.3"
    )
    assert client.end() == 0, client.printed
    assert client.printed
    assert all("'positions'" in line for line in client.printed)
    assert server.wait_for("moving to") == "moving to {0: 1.0, 1: -2.0}"


def test_client_says_when_nobody_answers(run: Run, tmp_path: Path) -> None:
    # A server that has just ended: its port is free again, and nobody listens there.
    server = run("motor_server.py", "--address", "tcp://127.0.0.1:*", "--seconds", "0.1")
    port = port_of(server)
    assert server.end() == 0
    client = run("client.py", "--address", f"tcp://127.0.0.1:{port}", "--seconds", "0.1")
    assert client.end() == 1
    assert any("no answer" in line for line in client.printed)


def test_custom_command(run: Run) -> None:
    example = run("custom_command.py")
    assert example.end() == 0, example.printed
    # Beside these there is the server's log of the refused HOME.
    said = [line for line in example.printed if line.startswith(("before", "HOME", "after"))]
    assert said[:3] == [
        "before: {'x': 12.5, 'y': -3.0}",
        "HOME x: {'axis': 'x', 'moved': -12.5}",
        "after:  {'x': 0.0, 'y': -3.0}",
    ]
    assert said[3].startswith("HOME w:")
    assert "no axis 'w', there are ['x', 'y']" in said[3]
    assert len(said) == 4


def test_methods(run: Run) -> None:
    example = run("methods.py")
    assert example.end() == 0, example.printed
    said = [line for line in example.printed if line.startswith(("HOME", "then", "refused"))]
    there = "there are: axis: int, speed: 'slow' | 'fast' = 'slow'."
    assert said == [
        "HOME(axis: int, speed: 'slow' | 'fast' = 'slow')",
        "HOME 0: 12.5 mm",
        "then: [0.0, -3.0]",
        f"refused: HOME: argument 'axis' is missing; {there}",
        "refused: HOME: argument 'axis' must be int, not 'x'.",
        "refused: HOME: argument 'speed' must be 'slow' | 'fast', not 'warp'.",
        "refused: ValueError: no axis 2, there are 2",
    ]


def test_described_motor(run: Run) -> None:
    example = run("described_motor.py")
    assert example.end() == 0, example.printed
    assert example.printed == [
        "positions: float64, mm: where the axes are",
        "moving: bool, no unit: which axes move",
        "axis 1 goes from 0.0 to 25.0 mm",
        "outside limits: axis 1 of 'stage' goes from 0 to 25 mm, not to 30.0.",
        "busy: axis 0 of 'stage' is moving; wait until it has arrived.",
    ]


def test_move_and_wait(run: Run) -> None:
    example = run("move_and_wait.py")
    assert example.end() == 0, example.printed
    *progress, arrived, halted = example.printed
    assert all(line.startswith("[") for line in progress)
    assert arrived == "arrived at [2.0, -1.0]"
    assert halted.startswith("halted at [")


def test_halting_motor(run: Run) -> None:
    example = run("halting_motor.py")
    assert example.end() == 0, example.printed
    moving, halted, then = example.printed
    assert moving == "moving: True"
    assert 0 < float(halted.removeprefix("halted at ").removesuffix(" mm")) < 1000
    assert then == "then at [0.5]"


def test_move_and_wait_says_why_not(run: Run) -> None:
    example = run("move_and_wait.py", "--address", own_address(), "--seconds", "0.5")
    assert example.end() == 1
    assert "RequestTimeout" in example.printed[-1]


def test_shots_are_gathered(run: Run) -> None:
    example = run("gather_shots.py")
    assert example.end() == 0, example.printed
    records = [line for line in example.printed if line.startswith("shot ")]
    assert [line.partition(":")[0] for line in records] == [f"shot {n}" for n in range(1, 21)]
    assert records[5] == "shot 6: energy, camera, spectrum; missing: nothing"
    assert records[6] == "shot 7: camera; missing: energy (none), spectrum (none)"
    assert records[13] == "shot 14: camera, spectrum; missing: energy (none)"
    assert records[19] == "shot 20: energy, spectrum; missing: camera (gone)"
    assert example.printed[-4:] == [
        "6 of 20 shots are complete",
        "energy: 18 of 18 updates gathered",
        "camera: 14 of 14 updates gathered",
        "spectrum: 10 of 10 updates gathered",
    ]


def test_shots_are_recorded(run: Run) -> None:
    pytest.importorskip("hdf5plugin")
    example = run("record_shots.py")
    assert example.end() == 0, example.printed
    assert example.printed == [
        "camera/images: 30 updates, 0 lost",
        "meter/shots: 26 updates, 0 lost",
        "images: (30, 120, 160) count",
        "ledger: 1 to 30 received",
        "26 of 30 shots have both",
        "shot 1: 1.21 J, 100",
        "shot 11: 1.31 J, 1100",
    ]
    again = run("record_shots.py")
    assert again.end() == 1
    said = "shots.h5 is there already: remove it, or give another one by --file."
    assert again.printed == [said]


def test_keys_and_roles(run: Run) -> None:
    example = run("keys_and_roles.py")
    assert example.end() == 0, example.printed
    said = [line for line in example.printed if not line.startswith("log:")]
    assert said[:3] == [
        "display sees [1.5, 2.0]",
        "display: not permitted: the role 'view' may not use 'SET'",
        "not permitted: {'view': {'SET': 1}}",
    ]
    assert said[3].startswith("anna: No answer from tcp://127.0.0.1:")
    assert "key" in said[3]
    assert len(said) == 4
    logged = "\n".join(line for line in example.printed if line.startswith("log:"))
    assert "Received 'SET' from 'scan' (anna)." in logged
    assert "Keys have changed: 'anna' (operate) is removed." in logged


# ---- camera and recorder


def lines_of(log: Path) -> list[dict[str, Any]]:
    """The whole lines of a recorder's log."""
    if not log.exists():
        return []
    text = log.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def numbers_of(lines: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """What the lines are about: updates, gaps, restarts."""
    kinds = ("seq", "gap", "restart_after")
    return [(kind, line[kind]) for line in lines for kind in kinds if kind in line]


def test_camera_data_is_read_in_three_ways(run: Run) -> None:
    reading = run("camera_data.py", "--seconds", "3", "--rows", "60", "--columns", "80")
    assert reading.end() == 0, reading.printed
    for line, way in zip(reading.printed, ["GET, text", "GET, arrays", "stream"], strict=True):
        assert line.startswith(way)
        assert int(line.split(":")[1].split()[0]) > 0
    assert reading.printed[-1].endswith(" 0 lost")


def test_camera_is_recorded(run: Run, tmp_path: Path) -> None:
    camera = run(
        *("camera_server.py", "--address", "tcp://127.0.0.1:*", "--rate", "500", "--images", "20"),
        *("--seconds", str(2 * PATIENCE_S)),
    )
    address = f"127.0.0.1:{port_of(camera)}"
    logs = {stream: tmp_path / "run" / f"{stream}.jsonl" for stream in ("images", "shots")}
    recorders = {
        stream: run(
            *("recorder.py", "--address", address, "--stream", stream, "--folder", "run"),
            *("--seconds", "1"),
        )
        for stream in logs
    }
    for stream, recorder in recorders.items():
        assert recorder.end() == 0, recorder.printed
        assert re.match(r"recorder: [0-9,]+ updates recorded, 0 lost", recorder.printed[-1])
        checking = run("recorder.py", "--stream", stream, "--folder", "run", "--check")
        assert checking.end() == 0, checking.printed
        assert checking.printed[-1] == "recorder: adds up"
    shots = [line["data"] for line in lines_of(logs["shots"])]
    assert [shot["shot"] for shot in shots] == list(range(1, len(shots) + 1))
    assert all(1.0 < shot["energy_J"] < 1.4 for shot in shots)
    images = lines_of(logs["images"])
    assert shots
    assert images
    assert [line["data"] for line in images] == [
        {"shot": 25 * n, "image": None} for n in range(1, len(images) + 1)
    ]
    raw = np.fromfile(logs["images"].with_suffix(".raw"), "<u2").reshape(-1, 480, 640)
    assert len(raw) == len(images)
    assert raw.min() >= 90
    assert 2900 < raw.max() < 3200
    with ClientLHC(f"tcp://{address}", name="test", timeout_s=PATIENCE_S) as client:
        assert set(client.info()["streams"]) == {"images", "shots"}
        assert client.get()["shot"] > 0
        client.stop_server()
    assert camera.end() == 0, camera.printed
    assert camera.printed[-1] == "camera: stopped"


def test_recorder_says_what_is_wrong_with_its_arguments(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for wrong, told in (
        (("--check", "--folder", "nofolder"), "No such file or directory"),
        (("--folder", "file"), "file"),
        (("--address", "udp://127.0.0.1:5711"), "tcp://"),
        (("--nats", "127.0.0.1:4222"), "nats"),
    ):
        recorder = run("recorder.py", *wrong)
        assert recorder.end() == 1, recorder.printed
        assert recorder.printed[-1].startswith("recorder: ")
        assert told in recorder.printed[-1]


@pytest.mark.skipif(os.name == "nt", reason="no signal for a single process on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_camera_ends_at_a_signal(run: Run, number: signal.Signals) -> None:
    camera = run("camera_server.py", "--address", "tcp://127.0.0.1:*", "--rate", "100")
    port_of(camera)
    camera.send_signal(number)
    assert camera.end() == 0, camera.printed
    assert camera.printed[-1] == "camera: stopped"


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM there")
def test_motor_ends_at_sigterm(run: Run) -> None:
    motor = run("motor_server.py", "--address", "tcp://127.0.0.1:*")
    port_of(motor)
    motor.send_signal(signal.SIGTERM)
    assert motor.end() == 0, motor.printed
    assert motor.printed[-1] == "stage: stopped"


def test_recorder_goes_on_after_crashes_and_tells_what_is_lost(
    run: Run, make_server: Any, eventually: Any, tmp_path: Path
) -> None:
    log = tmp_path / "r" / "a%2Fb.jsonl"
    raw = log.with_suffix(".raw")

    def recording() -> Example:
        return run("recorder.py", "--address", address, "--stream", "a/b", "--folder", "r")

    def recorded(count: int) -> bool:
        return bool(eventually(lambda: len(lines_of(log)) >= count, PATIENCE_S))

    def publish(upto: int) -> None:
        for n in range(1 + server.publish("a/b", {"n": np.full(5, 0.5), "m": [1]}), upto + 1):
            server.publish("a/b", {"n": np.full(5, n), "m": [{"deep": np.array(n, "<i2")}]})

    server = make_server()
    address = f"tcp://127.0.0.1:{server.server_port}"
    recorder = recording()
    recorder.wait_for("No such stream")  # it waits until there is one
    publish(10)
    assert recorded(10)
    recorder.kill()

    # What a crash may leave behind: arrays without a line, and a part of a line.
    size = raw.stat().st_size
    assert size == 10 * 40 + 9 * 2
    with raw.open("ab") as file:
        file.write(b"left over")
    with log.open("ab") as file:
        file.write(b'{"epoch": 5, "se')
    publish(20)
    recorder = recording()
    assert recorded(20)
    recorder.kill()

    # While it is away, more is published than the history holds.
    server.declare_stream("a/b", history_count=10)
    publish(50)
    recorder = recording()
    recorder.wait_for("updates 21 to 40 are lost")
    assert recorded(31)

    # The server is restarted under it.
    epoch = server.epoch
    server.stop()
    server = make_server(address=address, start=False)
    publish(5)
    server.start()
    assert recorder.wait_for("the server was restarted").endswith("after update 50")
    assert recorded(37)
    recorder.kill()

    # And once more, while it is away: nobody knows how far the server came.
    epochs = [epoch, server.epoch]
    server.stop()
    server = make_server(address=address)
    publish(2)
    epochs.append(server.epoch)
    recorder = recording()
    recorder.wait_for("after update 5, or later: what came after is not known")
    assert recorded(40)
    recorder.kill()

    lines = lines_of(log)
    assert numbers_of(lines) == [
        *(("seq", n) for n in range(1, 21)),
        ("gap", [21, 40]),
        *(("seq", n) for n in range(41, 51)),
        ("restart_after", 50),
        *(("seq", n) for n in range(1, 6)),
        ("restart_after", 5),
        *(("seq", n) for n in range(1, 3)),
    ]
    assert [line["epoch"] for line in lines] == [epochs[0]] * 31 + [epochs[1]] * 6 + [epochs[2]] * 3
    assert [line["complete"] for line in lines if "complete" in line] == [True, False]
    for line in lines:
        for place in line.get("arrays", ()):
            content = raw.read_bytes()[place["at"] :]
            found = np.frombuffer(content, place["dtype"], count=1)[0]
            assert found in (line["seq"], 0.5)
    checking = run("recorder.py", "--stream", "a/b", "--folder", "r", "--check")
    assert checking.end() == 0
    assert checking.printed == [
        f"recorder: epoch {epochs[0]}: of 50 updates 30 recorded, 20 lost",
        f"recorder: epoch {epochs[1]}: of 5 updates 5 recorded, 0 lost",
        f"recorder: epoch {epochs[2]}: of 2 updates 2 recorded, 0 lost",
        "recorder: adds up",
    ]


@needs_nats
def test_recorder_records_out_of_nats(
    run: Run, make_server: Any, eventually: Any, tmp_path: Path
) -> None:
    from laplace_server.relay import NatsRelay

    server = make_server(name="camera")
    broker = Broker(tmp_path / "n1").start()
    arguments = ["--nats", broker.url, "--stream", "images", "--folder", "r"]
    log = tmp_path / "r" / "images.jsonl"

    def publish_more(recorded: int) -> None:
        for _ in range(10):
            server.publish("images", {"image": np.full(5, 0.5)})
        recorder = run("recorder.py", *arguments)
        assert eventually(lambda: log.exists() and len(lines_of(log)) >= recorded, PATIENCE_S)
        recorder.kill()

    try:
        with NatsRelay(broker.url, [f"tcp://127.0.0.1:{server.server_port}/images"]):
            publish_more(10)
            publish_more(20)
    finally:
        broker.kill()
    checking = run("recorder.py", *arguments, "--check")
    assert checking.end() == 0
    assert checking.printed == [
        f"recorder: epoch {server.epoch}: of 20 updates 20 recorded, 0 lost",
        "recorder: adds up",
    ]


def test_what_goes_on_goes_on_exactly(
    run: Run, make_server: Any, eventually: Any, tmp_path: Path
) -> None:
    log = tmp_path / "shots.jsonl"

    def publish(first: int, last: int) -> None:
        for n in range(first, last + 1):
            assert server.publish("shots", {"n": n, "a": np.full(3, n)}) == n

    def recorded(count: int) -> bool:
        return bool(eventually(lambda: len(lines_of(log)) >= count, PATIENCE_S))

    server = make_server()
    address = f"tcp://127.0.0.1:{server.server_port}"
    epochs = [server.epoch]
    publish(1, 10)
    example = run("goes_on.py", "--address", address)
    example.wait_for("from the oldest update on")
    assert recorded(10)
    assert [seen.who for seen in server.stats().subscribers] == ["goes_on.py"]
    for n in range(11, 60, 10):  # killed at any moment, also while it writes
        publish(n, n + 9)
        example.kill()
        example = run("goes_on.py", "--address", address)
        example.wait_for(f"after ({server.epoch}, ")
    assert recorded(60)
    example.kill()

    # What a crash may leave behind; and more is published than the history holds.
    with log.open("ab") as file:
        file.write(b'{"seq": 61, "ep')
    server.declare_stream("shots", history_count=10)
    publish(61, 90)
    example = run("goes_on.py", "--address", address)
    example.wait_for(f"after ({server.epoch}, 60)")
    assert recorded(70)
    example.kill()

    # The server is restarted meanwhile.
    server.stop()
    server = make_server(address=address)
    epochs.append(server.epoch)
    publish(1, 5)
    example = run("goes_on.py", "--address", address, "--seconds", "2")
    assert example.end() == 0
    assert example.printed[-1] == "5 updates recorded, 0 lost"

    lines = lines_of(log)
    wanted = [*range(1, 61), *range(81, 91), *range(1, 6)]
    assert [line["seq"] for line in lines] == wanted
    assert [line["data"] for line in lines] == [{"n": n, "a": [n, n, n]} for n in wanted]
    assert [line["epoch"] for line in lines] == [epochs[0]] * 70 + [epochs[1]] * 5
    lost = [(line["seq"], line["lost_before"]) for line in lines if line["lost_before"]]
    assert lost == [(81, 20)]


def test_what_goes_on_says_that_its_position_is_wrong(
    run: Run, make_server: Any, tmp_path: Path
) -> None:
    server = make_server()
    server.publish("shots", {"n": 1})
    line = {"seq": 7, "epoch": server.epoch, "timestamp": 0, "data": {}, "lost_before": 0}
    (tmp_path / "shots.jsonl").write_text(json.dumps(line) + "\n")
    example = run("goes_on.py", "--address", f"tcp://127.0.0.1:{server.server_port}")
    assert example.end() == 1
    assert example.printed[-1].startswith("not recorded: 'start' must be")


def test_recorder_waits_for_the_server_and_ends(run: Run, make_server: Any) -> None:
    server = make_server()
    address = f"tcp://127.0.0.1:{server.server_port}"
    server.stop()
    recorder = run("recorder.py", "--address", address, "--seconds", "5")
    recorder.wait_for("not followed yet, and waited for: nobody listens there")
    recorder.wait_for(f"recording images of {address} into recording")
    server = make_server(address=address)
    server.publish("images", {"n": 1})
    assert recorder.end() == 0
    assert recorder.printed[-1] == "recorder: 1 updates recorded, 0 lost"


def test_recorder_finds_a_log_that_does_not_add_up(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.raw").touch()
    lines = [{"epoch": 1, "seq": n, "data": {}, "arrays": [], "raw": 0} for n in (1, 2, 4)]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checking = run("recorder.py", "--stream", "s", "--folder", ".", "--check")
    assert checking.end() == 1
    assert checking.printed[-1] == "recorder: 1 faults in the log"


@pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None,
    reason="prometheus-client is not installed",
)
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process on Windows")
def test_metrics_follow_the_server(run: Run) -> None:
    example = run("metrics.py", "--seconds", str(2 * PATIENCE_S))
    report = Path(example.wait_for("a crash would be told in").partition(" in ")[2])
    assert report.exists()
    with ClientLHC(f"tcp://127.0.0.1:{port_of(example)}", name="test") as client:
        client.set([2.5])
        assert client.get() == {"positions": [2.5]}
    page = example.wait_for("metrics at").rpartition(" ")[2]
    with urllib.request.urlopen(page, timeout=PATIENCE_S) as answer:
        assert 'laplace_answers_total{by="native",command="GET",server="stage"} 1.0' in str(
            answer.read()
        )
    example.send_signal(signal.SIGINT)
    assert example.end() == 0, example.printed
    assert example.printed[-1] == "stage: stopped"
    assert not report.exists()


def test_fleet_tells_who_is_lost_and_tells_who_comes_back_where_to_save(run: Run) -> None:
    with Mortal("near field") as near, Mortal("far field") as far:
        seconds = str(2 * PATIENCE_S)
        example = run(
            "fleet.py", near.address, far.address, "--save", "/data/x", "--seconds", seconds
        )
        example.wait_for("all save")
        near.kill()
        example.wait_for("near field is lost: nobody listens there")
        example.wait_for(f"not ready: {near.address}")
        near.start()
        example.wait_for("near field is there again")
        example.wait_for("all save")
        assert near.told() == [["SAVE", "/data/x"], ["TOGGLE SAVING", True]]
        assert far.told() == near.told()


def test_fleet_follows_simulated_cameras(run: Run) -> None:
    example = run("fleet.py", "--seconds", "6")
    example.wait_for("near field is lost")
    assert example.end() == 0, example.printed
    assert example.printed[-1].startswith("far field answers in")
