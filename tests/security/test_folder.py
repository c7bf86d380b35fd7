"""A server's folder of keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.keys import Pair, new_pair, put_key, write_file
from support.machine import WINDOWS

from laplace_server.errors import KeyFileError
from laplace_server.security import ServerSecurity, reading, survey
from laplace_server.security import folder as folders
from laplace_server.security.certificates import Certificate
from laplace_server.security.rights import AllowedKey


@pytest.fixture
def folder(tmp_path: Path, stage: Pair) -> Path:
    write_file(tmp_path / "stage-keys" / "stage.key_secret", stage, secret=True)
    return tmp_path / "stage-keys"


def test_a_folder(folder: Path, stage: Pair) -> None:
    write_file(folder / "stage.key", stage)
    display, anna, bert = (
        put_key(folder, "view", "d"),
        put_key(folder, "operate", "a"),
        put_key(folder, "admin", "b"),
    )
    robot = put_key(folder, "scans", "robot")
    (folder / "allowed/scans/commands.txt").write_text("# moves\nSCAN\n\n  SET ACT \nGET\n")
    # What systems and people leave behind is no key.
    for name in ("._x.key", ".DS_Store", "d.key~", "README"):
        (folder / "allowed/view" / name).write_text("?")
    (folder / "allowed/README").write_text("?")
    security = ServerSecurity.from_folder(folder, anonymous="view")
    assert security.public_key == stage.public
    assert security.anonymous == "view"
    assert {key.name: (key.public_key, key.role) for key in security.rights.keys.values()} == {
        "d": (display.public, "view"),
        "a": (anna.public, "operate"),
        "b": (bert.public, "admin"),
        "robot": (robot.public, {"SCAN", "SET ACT", "GET"}),
    }


def test_a_folder_that_serves_nobody(folder: Path) -> None:
    assert ServerSecurity.from_folder(str(folder)).allowed == {}
    (folder / "allowed" / "a role to come").mkdir(parents=True)
    assert ServerSecurity.from_folder(folder).allowed == {}


def check_refused(folder: Path, message: str) -> None:
    with pytest.raises(KeyFileError, match=message):
        ServerSecurity.from_folder(folder)


def test_the_servers_own_key(tmp_path: Path, folder: Path, stage: Pair) -> None:
    check_refused(tmp_path / "missing", "Cannot read .*missing")
    check_refused(folder / "stage.key_secret", "is no folder")
    check_refused(tmp_path, r"no key of the server.* laplace-server keys new NAME --folder ")
    write_file(folder / "new.key_secret", new_pair(), secret=True)
    check_refused(folder, r"several keys of the server: new\.key_secret, stage\.key_secret")


def test_what_is_wrong_in_a_folder(folder: Path, stage: Pair) -> None:
    anna = put_key(folder, "view", "anna")

    def check(file: str, pair: Pair, message: str, secret: bool = False) -> None:
        path = write_file(folder / "allowed" / file, pair, secret=secret)
        check_refused(folder, message)
        path.unlink()
        assert list(ServerSecurity.from_folder(folder).allowed) == [anna.public]

    check("bert.key", new_pair(), r"bert\.key has no role")
    check("wiew/bert.key", new_pair(), r"no role 'wiew': .*commands\.txt")
    check("operate/anna2.key", anna, "'anna' is the key that is allowed as 'anna2' already")
    check("operate/anna.key", new_pair(), "Two keys have the name 'anna'")
    check("view/bert.key_secret", new_pair(), "bert.key_secret is a secret key; its owner", True)
    check("view/bert.key", new_pair(), "holds a secret key where a public one is meant", True)
    check("view/b\tb.key", new_pair(), "cannot be the name") if not WINDOWS else None
    check("view/bert.key", Pair(stage.secret, ""), "is the server's secret key")
    (folder / "allowed/empty").mkdir()
    (folder / "allowed/empty/commands.txt").write_text("# nothing\n")
    check("empty/bert.key", new_pair(), r"commands\.txt: A role without commands")


@pytest.mark.skipif(WINDOWS, reason="Windows has no permission bits")
def test_permissions(folder: Path) -> None:
    put_key(folder, "view", "anna")
    (folder / "allowed/scans").mkdir()
    (folder / "allowed/scans/commands.txt").write_text("SCAN\n")
    put_key(folder, "scans", "robot")
    for path in (
        folder,
        folder / "allowed",
        folder / "allowed/view",
        folder / "allowed/view/anna.key",
        folder / "allowed/scans/commands.txt",
    ):
        mode = path.stat().st_mode
        os.chmod(path, 0o777)
        check_refused(folder, f"{path} can be changed by everybody")
        os.chmod(path, mode)
    os.chmod(folder / "stage.key_secret", 0o640)
    check_refused(folder, r"open to others than its owner \(mode 0640\)")
    os.chmod(folder / "stage.key_secret", 0o400)
    assert len(ServerSecurity.from_folder(folder).allowed) == 2


def test_reload(folder: Path, stage: Pair) -> None:
    anna, bert = put_key(folder, "view", "anna"), put_key(folder, "operate", "bert")
    security = ServerSecurity.from_folder(folder, anonymous="view")
    security.allow(new_pair().public, "admin")  # not on disk
    os.replace(folder / "allowed/operate/bert.key", folder / "allowed/view/bert.key")
    (folder / "allowed/view/anna.key").unlink()
    carl = put_key(folder, "admin", "carl")
    change = security.reload()
    assert anna.public in change.removed
    assert len(change.removed) == 2
    assert change.other_role == {bert.public}
    assert not change.rotated
    assert security.allowed == {bert.public: "view", carl.public: "admin"}
    assert security.anonymous == "view"

    new = new_pair()
    (folder / "stage.key_secret").unlink()
    write_file(folder / "stage2.key_secret", new, secret=True)
    assert security.reload().rotated
    assert security.public_key == new.public


def test_a_relative_path_stays_what_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    security = ServerSecurity.from_folder("stage-keys")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert security.reload_if_changed() is None
    anna = put_key(folder, "view", "anna")
    assert security.reload().after.keys.keys() == {anna.public}


def test_reload_if_changed(folder: Path) -> None:
    anna = put_key(folder, "view", "anna")
    security = ServerSecurity.from_folder(folder)
    assert security.reload_if_changed() is None
    bert = put_key(folder, "operate", "bert")
    change = security.reload_if_changed()
    assert change is not None
    assert set(change.after.keys) == {anna.public, bert.public}
    assert security.reload_if_changed() is None
    os.replace(folder / "allowed/operate/bert.key", folder / "allowed/view/bert.key")
    change = security.reload_if_changed()
    assert change is not None
    assert change.other_role == {bert.public}
    folders.revoke(folder, "bert")
    change = security.reload_if_changed()
    assert change is not None
    assert change.removed == {bert.public}
    # What is wrong is told once, and the right thing afterwards taken.
    wrong = folder / "allowed/admin/carl.key"
    wrong.parent.mkdir()
    wrong.write_text("half a fi")
    with pytest.raises(KeyFileError, match=r"carl\.key is no certificate"):
        security.reload_if_changed()
    assert security.reload_if_changed() is None
    wrong.unlink()
    put_key(folder, "admin", "carl")
    change = security.reload_if_changed()
    assert change is not None
    assert len(change.after.keys) == 2
    # A folder that has gone takes nobody's rights: it may be a file system that comes back.
    before = security.rights
    os.rename(folder, folder.with_name("gone"))
    with pytest.raises(KeyFileError, match="Cannot read"):
        security.reload_if_changed()
    assert security.rights is before
    assert security.reload_if_changed() is None


def no_file(patch: pytest.MonkeyPatch) -> None:
    def no_descriptor_left(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    patch.setattr(os, "open", no_descriptor_left)


def no_folder(patch: pytest.MonkeyPatch) -> None:
    def no_descriptor_left(path: Path) -> list[Path]:
        raise KeyFileError(f"Cannot read {path}: Too many open files.")

    patch.setattr(survey, "entries_of", no_descriptor_left)


@pytest.mark.parametrize("fails", [no_file, no_folder])
def test_a_change_that_could_not_be_read_for_a_while(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Nothing in the folder tells that the system has what was missing again."""
    anna = put_key(folder, "view", "anna")
    security = ServerSecurity.from_folder(folder)
    (folder / "allowed/view/anna.key").unlink()
    bert = put_key(folder, "view", "bert")
    with monkeypatch.context() as patch:
        fails(patch)
        with pytest.raises(KeyFileError, match="Too many open files"):
            security.reload_if_changed()
        assert security.reload_if_changed() is None, "it is told once"
        # A removal needs no more than that it is seen which files are there.
        assert set(security.allowed) == ({anna.public} if fails is no_folder else set())
    change = security.reload_if_changed()
    assert change is not None
    assert set(change.after.keys) == {bert.public}
    assert security.reload_if_changed() is None


def test_what_the_command_line_does(tmp_path: Path, anna: Pair) -> None:
    folder = tmp_path / "deep" / "keys"
    made = folders.make(folder, "stage")
    assert made.path == folder / "stage.key_secret"
    file = write_file(tmp_path / "anna.key", anna)
    first = AllowedKey(anna.public, "operate", "anna")
    assert folders.allow(folder, file, "operate") == folders.Allowed(first, None)
    security = ServerSecurity.from_folder(folder)
    assert security.allowed == {anna.public: "operate"}
    for arguments, message in (
        ((made.path.with_suffix(".key"), "view"), "'stage' is the server's own key"),
        ((write_file(tmp_path / "b" / "anna.key", new_pair()), "view"), "the name 'anna'"),
        ((write_file(tmp_path / "c.key", new_pair()), "fly"), "no role 'fly'"),
        ((write_file(tmp_path / "c.key", new_pair()), "../view"), "cannot be the name"),
        ((write_file(tmp_path / "c.key", new_pair()), "view", "../c"), "cannot be the name"),
        ((write_file(tmp_path / "c.key_secret", anna, secret=True), "view"), "secret key where"),
    ):
        with pytest.raises((KeyFileError, ValueError), match=message):
            folders.allow(folder, *arguments)  # type: ignore[arg-type]
        assert not security.reload().removed
        assert len(security.allowed) == 1
    with pytest.raises(KeyFileError, match=r"no key 'carl' in .*\. There are: anna\."):
        folders.revoke(folder, "carl")
    with pytest.raises(KeyFileError, match=r"has a key already: stage\.key_secret"):
        folders.make(folder, "other")


@pytest.mark.skipif(WINDOWS, reason="Windows has no umask")
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_what_is_made_is_taken_whatever_the_umask(tmp_path: Path, anna: Pair, mask: int) -> None:
    file = write_file(tmp_path / "anna.key", anna)
    if mask == 0:
        (tmp_path / "open").mkdir(mode=0o700)
        (tmp_path / "open").chmod(0o777)
        with pytest.raises(KeyFileError, match="can be changed by everybody"):
            folders.make(tmp_path / "open", "stage")
        assert list((tmp_path / "open").iterdir()) == []
    before = os.umask(mask)
    try:
        folders.make(tmp_path / "keys", "stage")
        folders.allow(tmp_path / "keys", file, "view")
    finally:
        os.umask(before)
    assert len(ServerSecurity.from_folder(tmp_path / "keys").allowed) == 1


def test_a_key_can_be_revoked_whatever_else_is_wrong(folder: Path) -> None:
    put_key(folder, "view", "anna")
    put_key(folder, "no role", "anna")
    (folder / "allowed/view/bert.key").write_text("?")
    (folder / "stage.key_secret").unlink()
    (folder / "allowed/view").chmod(0o777)
    removed = [path.parent.name for path in folders.revoke(folder, "anna")]
    assert removed == ["no role", "view"]
    assert folders.revoke(folder, "bert") == [folder / "allowed/view/bert.key"]
    with pytest.raises(KeyFileError, match="There are: none"):
        folders.revoke(folder, "anna")


def test_what_is_made_is_all_there_is(tmp_path: Path) -> None:
    folders.make(tmp_path / "keys", "stage")
    made: Any = sorted(
        str(path.relative_to(tmp_path / "keys")) for path in (tmp_path / "keys").rglob("*")
    )
    assert [each.replace(os.sep, "/") for each in made] == [
        "allowed",
        "allowed/admin",
        "allowed/operate",
        "allowed/view",
        "stage.key",
        "stage.key_secret",
    ]


def test_a_key_on_its_way_to_another_role_is_not_taken_for_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = put_key(folder, "view", "anna")
    (folder / "allowed/operate").mkdir()
    security = ServerSecurity.from_folder(folder)
    read_public, moved = survey.read_public, folder / "allowed/operate/anna.key"

    def read_and_move(path: Path, kept: bool) -> Certificate:
        # "operate" has been looked through when "view" is.
        if not moved.exists():
            os.replace(path, moved)
        return read_public(path, kept)

    monkeypatch.setattr(survey, "read_public", read_and_move)
    change = security.reload_if_changed() or security.reload()
    assert change.other_role == {anna.public}
    assert security.reload_if_changed() is None


def test_a_reading_that_is_overtaken_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was held up for long must not bring back what has been revoked since."""
    anna = put_key(folder, "view", "anna")
    security = ServerSecurity.from_folder(folder)
    overtaking = iter([True])

    def read_slowly(folder: Path) -> Any:
        found = survey.Survey(folder)
        if next(overtaking, False):
            (folder / "allowed/view/anna.key").unlink()
            security.reload()
        return found

    monkeypatch.setattr(reading, "Survey", read_slowly)
    monkeypatch.setattr(reading, "_TRIES", 1)
    change = security.reload()
    assert change.before is change.after
    assert anna.public not in security.allowed


def test_roles_that_are_listed_and_cannot_be_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = put_key(folder, "view", "anna")
    security = ServerSecurity.from_folder(folder)
    stat = Path.stat

    def not_permitted(path: Path, **options: Any) -> os.stat_result:
        if path.name == "view":
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", not_permitted)
    check_refused(folder, r"Cannot read .*view: Permission denied")
    with pytest.raises(KeyFileError, match=r"Cannot read .*view: Permission denied"):
        security.reload()
    assert set(security.allowed) == {anna.public}


@pytest.mark.parametrize("role", ["no!name", "CON", "x" * 70])
def test_a_role_that_cannot_have_its_name(folder: Path, role: str) -> None:
    security = ServerSecurity.from_folder(folder)
    if WINDOWS and role == "CON":
        pytest.skip("Windows makes no such folder")
    put_key(folder, role, "anna")
    with pytest.raises(KeyFileError, match=r"cannot be the name"):
        ServerSecurity.from_folder(folder)
    with pytest.raises(KeyFileError, match=r"cannot be the name"):
        security.reload_if_changed()
    assert security.reload_if_changed() is None
