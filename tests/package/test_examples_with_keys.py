"""The examples against servers with keys: with those keys, and without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.examples import PATIENCE_S, Example, Run, port_of
from support.keys import Pair, at_home, new_pair, put_key, write_file
from support.qt import needs_pyqt6

from laplace_server.security import own_keys

pytestmark = pytest.mark.transports("tcp")

NO_KEY = "it serves only clients with a key"


class Lab:
    """A user's home with one key of the user's own, and a folder of keys for a server."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "keys"
        self.server, self.own = new_pair(), new_pair()
        write_file(self.folder / "stage.key_secret", self.server, secret=True)
        write_file(own_keys.keys_folder() / "anna.key_secret", self.own, secret=True)

    def allow(self, role: str) -> None:
        put_key(self.folder, role, "anna", self.own)

    def serve(self, run: Run, file: str, *options: str) -> tuple[Example, str]:
        """Start a server for as long as the test may take."""
        port = "tcp://127.0.0.1:*"
        seconds = str(2 * PATIENCE_S)
        keys = str(self.folder)
        server = run(file, "--address", port, "--seconds", seconds, "--keys", keys, *options)
        return server, f"tcp://127.0.0.1:{port_of(server)}"

    def trust(self, address: str, pair: Pair | None = None) -> None:
        own_keys.trust(address, write_file(self.folder / "stage.key", pair or self.server))


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    for name, value in at_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LAPLACE_KEY", raising=False)
    return Lab(tmp_path)


@pytest.mark.parametrize(
    "file", ["motor_server.py", pytest.param("qt_window.py", marks=needs_pyqt6)]
)
def test_a_stage(run: Run, lab: Lab, file: str) -> None:
    lab.allow("operate")
    _server, address = lab.serve(run, file)
    ask = ("client.py", "--address", address, "--rate", "20", "--seconds", "0.5")
    stranger = run(*ask)
    assert stranger.end() == 1
    assert any(NO_KEY in line for line in stranger.printed)
    lab.trust(address)
    client = run(*ask, "--move", "1.5")
    assert client.end() == 0, client.printed
    assert all("'positions'" in line for line in client.printed)


def test_a_client_that_may_not_move(run: Run, lab: Lab) -> None:
    lab.allow("view")
    _server, address = lab.serve(run, "motor_server.py")
    lab.trust(address)
    client = run("client.py", "--address", address, "--move", "1.5")
    assert client.end() == 1
    assert client.printed == ["NotPermitted: not permitted: the role 'view' may not use 'SET'"]


def test_a_camera_is_recorded(run: Run, lab: Lab) -> None:
    lab.allow("view")
    _camera, address = lab.serve(run, "camera_server.py", "--rate", "200")
    record = ("recorder.py", "--address", address, "--stream", "shots", "--seconds", "1")
    stranger = run(*record)
    assert stranger.end() == 1
    *_, summary, why = stranger.printed
    assert summary == "recorder: 0 updates recorded, 0 lost"
    assert why.startswith(f"recorder: not recorded to the end: {NO_KEY}")
    lab.trust(address)
    recorder = run(*record)
    assert recorder.end() == 0, recorder.printed
    assert re.fullmatch(r"recorder: [1-9][0-9,]* updates recorded, 0 lost", recorder.printed[-1])


def test_a_recorder_whose_role_does_not_permit_to(run: Run, lab: Lab) -> None:
    lab.allow("reader")
    (lab.folder / "allowed/reader/commands.txt").write_text("GET\n", encoding="utf-8")
    _camera, address = lab.serve(run, "camera_server.py", "--rate", "200")
    lab.trust(address)
    recorder = run("recorder.py", "--address", address, "--stream", "shots")
    assert recorder.end() == 1
    assert "may not use 'SUBSCRIBE'" in recorder.printed[-1]
    assert not any("Traceback" in line for line in recorder.printed)


@needs_pyqt6
def test_a_live_view(run: Run, lab: Lab) -> None:
    lab.allow("view")
    _camera, address = lab.serve(run, "camera_server.py")
    lab.trust(address)
    view = run("live_view.py", "--address", address, "--seconds", str(2 * PATIENCE_S))
    view.wait_for("live view: first update")
