"""A folder of keys in which something is wrong: what counts, and what stays as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.keys import Pair, new_pair, put_key, write_file
from support.machine import WINDOWS

from laplace_server.errors import KeyFileError
from laplace_server.security import ServerSecurity
from laplace_server.security import folder as folders
from laplace_server.security.files import check_folder
from laplace_server.security.survey import Survey

POSIX = pytest.mark.skipif(WINDOWS, reason="Windows has no permission bits")


class Lab:
    """A server that has read its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stage = new_pair()
        write_file(folder / "stage.key_secret", self.stage, secret=True)
        self.allowed = folder / "allowed"
        self.anna, self.bert = put_key(folder, "view", "anna"), put_key(folder, "admin", "bert")
        self.robot = put_key(folder, "scans", "robot")
        (self.allowed / "scans/commands.txt").write_text("SCAN\n")
        self.security = ServerSecurity.from_folder(folder)

    def reload(self, problem: str) -> None:
        with pytest.raises(KeyFileError, match=problem):
            self.security.reload()

    def names(self) -> dict[str, str]:
        return {key.name: key.words() for key in self.security.rights.keys.values()}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "keys")


def no_secret(lab: Lab) -> None:
    (lab.folder / "stage.key_secret").unlink()


def open_secret(lab: Lab) -> None:
    (lab.folder / "stage.key_secret").chmod(0o644)


def second_secret(lab: Lab) -> None:
    write_file(lab.folder / "other.key_secret", new_pair(), secret=True)


def wrong_half(lab: Lab) -> None:
    write_file(lab.folder / "stage.key", new_pair())


def no_commands(lab: Lab) -> None:
    (lab.allowed / "scans/commands.txt").write_text("# none\n")


def bad_file(lab: Lab) -> None:
    (lab.allowed / "admin/carl.key").write_text("half a fi")


def open_file(lab: Lab) -> None:
    (lab.allowed / "admin/bert.key").chmod(0o666)


def open_role(lab: Lab) -> None:
    (lab.allowed / "view").chmod(0o777)


def open_folder(lab: Lab) -> None:
    lab.folder.chmod(0o777)


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (no_secret, "no key of the server"),
        pytest.param(open_secret, "open to others", marks=POSIX),
        (second_secret, "several keys of the server"),
        (wrong_half, "is not the public half of stage.key_secret"),
        (no_commands, "A role without commands"),
        (bad_file, "carl.key is no certificate"),
        pytest.param(open_file, "bert.key can be changed by everybody", marks=POSIX),
        pytest.param(open_role, "view can be changed by everybody", marks=POSIX),
        pytest.param(open_folder, "keys can be changed by everybody", marks=POSIX),
    ],
)
def test_a_removal_counts_whatever_else_is_wrong(
    lab: Lab, fault: Callable[[Lab], None], problem: str
) -> None:
    """And nobody else is disconnected, nor is the server's own key another one."""
    fault(lab)
    folders.revoke(lab.folder, "anna")
    lab.reload(problem)
    assert lab.names() == {"bert": "admin", "robot": "scans"}
    assert lab.security.public_key == lab.stage.public
    assert lab.security.reload_if_changed() is None


@POSIX
@pytest.mark.parametrize("place", ["", "allowed", "allowed/view"])
def test_nothing_is_given_in_a_folder_that_everybody_may_change(lab: Lab, place: str) -> None:
    (lab.folder / place).chmod(0o777)
    put_key(lab.folder, "view", "carl")
    os.replace(lab.allowed / "admin/bert.key", lab.allowed / "view/bert.key")
    lab.reload("can be changed by everybody")
    assert lab.names() == {"anna": "view", "bert": "admin", "robot": "scans"}


def test_what_is_right_counts(lab: Lab) -> None:
    bad_file(lab)
    carl = put_key(lab.folder, "view", "clara")
    os.replace(lab.allowed / "view/anna.key", lab.allowed / "admin/anna.key")
    lab.reload("carl.key is no certificate")
    assert lab.security.allowed[carl.public] == "view"
    assert lab.security.allowed[lab.anna.public] == "admin"


def test_another_key_in_the_place_of_one(lab: Lab) -> None:
    """That takes the first one away, also where the role of the other is not to be had."""
    no_commands(lab)
    put_key(lab.folder, "scans", "robot")
    lab.reload("A role without commands")
    assert lab.names() == {"anna": "view", "bert": "admin"}


def test_of_two_that_are_at_odds_none_counts(lab: Lab) -> None:
    put_key(lab.folder, "admin", "anna")  # another key of that name
    put_key(lab.folder, "admin", "bert 2", lab.bert)
    put_key(lab.folder, "view", "bert 3", lab.bert)
    lab.reload("Two keys have the name 'anna'")
    assert lab.names() == {"anna": "view", "bert": "admin", "robot": "scans"}
    assert set(lab.security.allowed) == {lab.anna.public, lab.bert.public, lab.robot.public}


def test_a_name_that_is_taken_by_what_cannot_be_read(lab: Lab) -> None:
    (lab.allowed / "view/anna.key").write_text("half a fi")
    put_key(lab.folder, "admin", "anna")
    lab.reload("Two keys have the name 'anna'")
    assert lab.security.allowed[lab.anna.public] == "view"
    assert len(lab.security.allowed) == 3


def test_all_that_is_wrong_is_told(lab: Lab) -> None:
    no_secret(lab)
    for number in range(7):
        (lab.allowed / f"view/{number}.key").write_text("?")
    problem = str(Survey(lab.folder).problem())
    assert "no key of the server" in problem
    assert problem.count("is no certificate") == 4
    assert problem.endswith("; and 3 other things.")


@pytest.mark.parametrize("away", ["keys", "keys/allowed"])
def test_what_is_away_takes_nobodys_rights(lab: Lab, tmp_path: Path, away: str) -> None:
    before = lab.security.rights
    os.rename(tmp_path / away, tmp_path / "elsewhere")
    lab.reload("Cannot read .*keys" if away == "keys" else "allowed is away")
    assert lab.security.rights is before
    os.rename(tmp_path / "elsewhere", tmp_path / away)
    assert lab.security.reload().removed == set()


def test_a_drive_that_is_not_mounted(lab: Lab) -> None:
    before = lab.security.rights
    shutil.rmtree(lab.folder)
    lab.folder.mkdir(0o700)
    lab.reload("no key of the server")
    assert lab.security.rights is before


def test_a_role_that_cannot_be_listed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from laplace_server.security import survey

    status = survey.status_of_folder

    def forbidden(folder: Path) -> os.stat_result:
        if folder.name == "scans":
            raise KeyFileError("Permission denied")
        return status(folder)

    folders.revoke(lab.folder, "anna")
    monkeypatch.setattr(survey, "status_of_folder", forbidden)
    lab.reload("Permission denied")
    assert lab.names() == {"bert": "admin", "robot": "scans"}


def test_between_the_two_steps_of_a_rotation(lab: Lab, tmp_path: Path) -> None:
    new = Pair(*new_pair())
    no_secret(lab)
    folders.revoke(lab.folder, "anna")
    lab.reload("no key of the server")
    assert lab.names() == {"bert": "admin", "robot": "scans"}
    write_file(lab.folder / "stage-2.key_secret", new, secret=True)
    assert lab.security.reload().rotated
    assert lab.security.public_key == new.public


@POSIX
@pytest.mark.parametrize(
    "place", ["", "stage.key_secret", "stage.key", "allowed/view", "allowed/view/anna.key"]
)
def test_what_belongs_to_somebody_else(
    lab: Lab, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(lab.folder / "stage.key", lab.stage)
    if os.geteuid() == 0:
        os.chown(lab.folder / place, 4711, -1)
    elif place:
        pytest.skip("only root gives files away")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(KeyFileError, match="belongs to another user"):
            check_folder(lab.folder)
    lab.reload(f"{lab.folder / place} belongs to another user")
    assert lab.names() == {"anna": "view", "bert": "admin", "robot": "scans"}
