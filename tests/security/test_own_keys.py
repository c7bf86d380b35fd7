"""Which keys a user's programs and commands take for a server."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from support.keys import Pair, new_pair, write_file
from support.machine import WINDOWS

from laplace_server.errors import KeyFileError
from laplace_server.security import ClientSecurity
from laplace_server.security.own_keys import (
    address_of,
    file_of_server,
    make_folders,
    own,
    servers,
    trust,
    user_folder,
)

ADDRESS = "tcp://192.168.1.20:5555"


@pytest.fixture
def known(home: Path, stage: Pair) -> Path:
    """The home of a user who knows the server."""
    write_file(home / "servers" / "192.168.1.20_5555.key", stage)
    return home


def found(address: str = ADDRESS, key: str | Path | None = None) -> tuple[str, str] | None:
    security = ClientSecurity.find(address, key)
    return None if security is None else (security.public_key, security.server_key)


def refused(message: str, key: str | None = None) -> None:
    with pytest.raises(KeyFileError, match=message):
        ClientSecurity.find(ADDRESS, key)


def test_nothing_is_known(home: Path) -> None:
    assert found() is None
    write_file(home / "keys" / "anna.key_secret", new_pair(), secret=True)
    assert found() is None


def test_the_only_key(known: Path, anna: Pair, stage: Pair) -> None:
    refused(r"takes keys, and there is none in .*: laplace-server keys new NAME")
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    write_file(known / "keys" / "._anna.key_secret", anna, secret=True)
    assert found() == (anna.public, stage.public)
    assert found(ADDRESS.removeprefix("tcp://")) == (anna.public, stage.public)
    assert found("tcp://192.168.1.20:5556") is None
    assert found("tcp://192.168.1.2:5555") is None


def test_which_of_several_keys(
    known: Path, anna: Pair, stage: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert, robot, here = new_pair(), new_pair(), new_pair()
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    write_file(known / "keys" / "bert.key_secret", bert, secret=True)
    refused(r"several keys in .*: anna, bert\. Choose one by --key or LAPLACE_KEY")
    write_file(known / "servers" / "192.168.1.20_5555.key_secret", here, secret=True)
    assert found() == (here.public, stage.public)
    monkeypatch.setenv("LAPLACE_KEY", "anna")
    assert found() == (anna.public, stage.public)
    assert found(key="bert") == (bert.public, stage.public)
    file = write_file(tmp_path / "robot.key_secret", robot, secret=True)
    assert found(key=str(file)) == (robot.public, stage.public)
    assert found(key=file) == (robot.public, stage.public)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAPLACE_KEY", "robot.key_secret")
    assert found() == (robot.public, stage.public)
    write_file(tmp_path / "in home.key_secret", bert, secret=True)
    assert found(key="~/in home.key_secret") == (bert.public, stage.public)
    monkeypatch.setenv("LAPLACE_KEY", "")  # as if it were not there
    assert found() == (here.public, stage.public)


def test_a_key_that_is_wanted_is_never_left_out(
    home: Path, anna: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(home / "keys" / "anna.key_secret", anna, secret=True)
    not_known = r"the server at tcp://192\.168\.1\.20:5555 is not known.* keys trust"
    refused(not_known, "anna")
    refused("is empty", "")
    monkeypatch.setenv("LAPLACE_KEY", "anna")
    refused(not_known)


def test_a_wrong_key(known: Path, anna: Pair) -> None:
    refused(r"Cannot read .*carl\.key_secret", "carl")
    refused(r"anna must have a name that ends in", "./anna")
    file = write_file(known / "anna.key", anna)
    refused("holds a public key only", str(file))
    (known / "servers" / "192.168.1.20_5555.key").write_text("?")
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    refused(r"192\.168\.1\.20_5555\.key is no certificate")


def test_a_key_in_the_place_of_its_name_does_not_show(
    known: Path, anna: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might be the secret one."""
    for key in anna:
        monkeypatch.setenv("LAPLACE_KEY", key)
        with pytest.raises(KeyFileError, match="not the key itself") as raised:
            ClientSecurity.find(ADDRESS)
        assert key not in str(raised.value)
    long_name = "anna-at-the-institute-of-laser-physics-2"
    assert len(long_name) == len(anna.secret)
    write_file(known / "keys" / f"{long_name}.key_secret", anna, secret=True)
    monkeypatch.setenv("LAPLACE_KEY", long_name)
    assert found() is not None


def test_a_folder_that_cannot_be_read_does_not_mean_no_keys(
    known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", forbidden)
    refused(r"Cannot read .*laplace-server: Permission denied")


@pytest.mark.skipif(WINDOWS, reason="Windows has no permission bits")
def test_folders_that_everybody_may_change(known: Path, anna: Pair) -> None:
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    for name in ("keys", "servers"):
        (known / name).chmod(0o777)
        refused(f"{name} can be changed by everybody")
        (known / name).chmod(0o755)
    assert found() is not None


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CONFIG_HOME", "LOCALAPPDATA", "LAPLACE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert found() is None
    refused("Nobody knows where keys would be", "anna")


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".config/laplace-server"),
        ("darwin", "Library/Application Support/laplace-server"),
        ("win32", "AppData/Local/laplace-server"),
    ],
)
def test_the_folder_of_each_system(
    platform: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CONFIG_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert user_folder() == tmp_path / folder
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "x"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "l"))
    expected = {"linux": tmp_path / "x", "win32": tmp_path / "l"}
    assert user_folder() == expected.get(platform, (tmp_path / folder).parent) / "laplace-server"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    if platform == "linux":
        assert user_folder() == tmp_path / folder


@pytest.mark.parametrize(
    ("address", "shown", "file"),
    [
        ("tcp://192.168.1.20:5555", "192.168.1.20:5555", "192.168.1.20_5555.key"),
        ("tcp://Stage.Lab:05555", "stage.lab:5555", "stage.lab_5555.key"),
        ("tcp://[fe80::1%eth0]:1", "[fe80::1%eth0]:1", "%5Bfe80%3A%3A1%25eth0%5D_1.key"),
        ("tcp://a_1:2", "a_1:2", "a_1_2.key"),
    ],
)
def test_addresses(home: Path, address: str, shown: str, file: str) -> None:
    assert file_of_server(address) == home / "servers" / file
    assert address_of(file_of_server(address)) == shown


@pytest.mark.parametrize(
    "address",
    [
        *("stage", "tcp://stage", "tcp://:1", "tcp://a:", "tcp://a:x", "tcp://../a:1", "a:-1"),
        *("tcp://*:5556", "lab:0", "lab:65536", "lab:99999", "lab:" + "1" * 5000),
    ],
)
def test_what_is_no_address(home: Path, address: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        ClientSecurity.find(address)


def test_trust(home: Path, tmp_path: Path, anna: Pair, stage: Pair) -> None:
    write_file(home / "keys" / "anna.key_secret", anna, secret=True)
    file = write_file(tmp_path / "stage.key", stage)
    assert trust(ADDRESS, file) == home / "servers" / "192.168.1.20_5555.key"
    assert found() == (anna.public, stage.public)
    trust(ADDRESS, file)  # once more does no harm
    other = write_file(tmp_path / "other.key", new_pair())
    with pytest.raises(KeyFileError, match=r"known by another key\. .* --replace$"):
        trust(ADDRESS, other)
    with pytest.raises(KeyFileError, match="holds a secret key where"):
        trust("a:1", write_file(tmp_path / "s.key_secret", stage, secret=True))
    assert found() == (anna.public, stage.public)


def test_a_server_with_a_new_key(known: Path, tmp_path: Path, anna: Pair) -> None:
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    new, file = new_pair(), tmp_path / "new.key"
    write_file(file, new)
    replace, seen = os.replace, []

    def replace_and_look(source: Path, target: Path) -> None:
        seen.append(found())  # at no moment is it talked to in the clear
        replace(source, target)

    before = found()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", replace_and_look)
        trust(ADDRESS, file, replace=True)
    assert seen == [before]
    assert found() == (anna.public, new.public)
    assert [path.name for path in (known / "servers").iterdir()] == ["192.168.1.20_5555.key"]
    (known / "servers" / "192.168.1.20_5555.key").write_text("half a fi")
    trust(ADDRESS, file, replace=True)
    trust("tcp://other:1", file, replace=True)
    assert found() == found("tcp://other:1") == (anna.public, new.public)


def test_a_new_key_that_cannot_be_put_there(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(KeyFileError, match=r"Cannot replace .*: Permission denied"):
        trust(ADDRESS, write_file(tmp_path / "new.key", new_pair()), replace=True)
    assert [path.name for path in (known / "servers").iterdir()] == ["192.168.1.20_5555.key"]


@pytest.mark.skipif(WINDOWS, reason="Windows has no umask")
def test_the_folders_are_the_users_alone_whatever_the_umask(home: Path) -> None:
    before = os.umask(0)
    try:
        make_folders()
    finally:
        os.umask(before)
    for folder in (home.parent, home, home / "keys", home / "servers"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(WINDOWS, reason="Windows has no permission bits")
@pytest.mark.parametrize("place", [".", "servers"])
def test_an_open_folder_is_refused_also_where_no_server_is_known(known: Path, place: str) -> None:
    (known / "servers" / "192.168.1.20_5555.key").unlink()
    (known / place).chmod(0o777)
    refused("can be changed by everybody .* so its keys may be anybody's")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away"
)
@pytest.mark.parametrize(
    ("place", "all_fails"),
    [
        (".", True),
        ("servers", True),
        ("servers/192.168.1.20_5555.key", False),
        ("keys", False),
    ],
)
def test_what_belongs_to_somebody_else(
    known: Path, anna: Pair, place: str, all_fails: bool
) -> None:
    write_file(known / "keys" / "anna.key_secret", anna, secret=True)
    os.chown(known / place, 1234, -1)
    refused("belongs to another user \\(uid 1234\\)")
    if all_fails:
        with pytest.raises(KeyFileError, match="belongs to another user"):
            found("tcp://other:1")
    else:
        assert found("tcp://other:1") is None
    assert [*own().problems, *servers().problems]
