"""A master tells a recorder where and when to save."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.peers import PATIENCE_S, address_of
from support.serving import MakeServer
from support.waiting import wait_until

import laplace_server.recording as recording
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC
from laplace_server.errors import RemoteError
from laplace_server.recording.saving import SavingRecorder


class Scene:
    def __init__(self, server: ServerLHC, saving: SavingRecorder, master: ClientLHC) -> None:
        self.server, self.saving, self.master = server, saving, master

    def publish(self, *numbers: int) -> None:
        before = self.state()["updates"] if self.saving.recorder else 0
        for number in numbers:
            self.server.publish("shots", {"n": number})
        if self.saving.recorder:
            wait_until(lambda: self.state()["updates"] == before + len(numbers), "they came")

    def state(self) -> Any:
        self.saving.refresh()
        return self.master.get()


@pytest.fixture
def scene(make_server: MakeServer, tmp_path: Path) -> Iterator[Scene]:
    server = make_server()
    server.declare_stream("shots")
    with ClientLHC(address_of(server), timeout_s=PATIENCE_S) as client:
        source = [(client, "shots")]
        with SavingRecorder("rec", "tcp://127.0.0.1:*", tmp_path / "run.h5", source) as saving:
            with ClientLHC(saving.server.address, timeout_s=PATIENCE_S) as master:
                yield Scene(server, saving, master)


def numbers(path: Path) -> list[int]:
    with recording.open(path) as opened:
        return [update.data["n"] for update in opened["tested"]["shots"].updates()]


def test_saving_begins_and_ends(scene: Scene, tmp_path: Path) -> None:
    scene.publish(1)
    assert scene.state()["saving"] is False
    scene.master.toggle_saving(True)
    scene.master.toggle_saving(True)
    scene.publish(2, 3)
    assert scene.state() == {
        "path": str(tmp_path / "run.h5"),
        "saving": True,
        "file": str(tmp_path / "run.h5"),
        "updates": 2,
        "lost": 0,
        "trouble": None,
    }
    scene.master.toggle_saving(False)
    scene.publish(4)
    scene.master.toggle_saving(True)
    scene.publish(5)
    scene.master.toggle_saving(False)
    assert numbers(tmp_path / "run.h5") == [2, 3]
    assert numbers(tmp_path / "run_2.h5") == [5]


def test_save_says_where(scene: Scene, tmp_path: Path) -> None:
    scene.master.save(str(tmp_path / "day" / "1"))
    scene.master.toggle_saving(True)
    scene.publish(1)
    scene.master.save(str(tmp_path / "day" / "named.nxs"))
    scene.publish(2, 3)
    scene.master.save(str(tmp_path / "day" / "2"))
    scene.publish(4)
    scene.saving.close()
    assert numbers(tmp_path / "day" / "1" / "run.h5") == [1]
    assert numbers(tmp_path / "day" / "2" / "run.h5") == [4]
    assert numbers(tmp_path / "day" / "named.nxs") == [2, 3]


def test_what_cannot_be_is_told(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises(RemoteError, match=r"File exists|Not a directory|cannot find the path"):
            scene.master.save(str(folder))
    for path in ("~/data", "data", "named.h5"):
        with pytest.raises(RemoteError, match=f"is a whole one, such as .*, not '{path}'"):
            scene.master.save(path)
    assert scene.state()["path"] == str(tmp_path / "run.h5")
    # The folder may go after it was told.
    scene.master.save(str(tmp_path / "day"))
    (tmp_path / "day").rmdir()
    (tmp_path / "day").touch()
    with pytest.raises(RemoteError, match=r"File exists|Not a directory"):
        scene.master.toggle_saving(True)
    with pytest.raises(RemoteError, match="a path to save to"):
        scene.master.request("SAVE", {"path": 17})
    assert scene.state()["saving"] is False
