"""``laplace-server keys`` where something is wrong, or not as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.command_line import failed, run, run_json
from support.keys import Pair, new_pair, put_key, server_folder, write_file

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def folder(home: Path) -> Path:
    return server_folder(home / "stage-keys")


@pytest.fixture
def anna(folder: Path) -> Pair:
    return put_key(folder, "view", "anna")


ALLOW = ("keys", "allow", "--folder", "stage-keys", "--role")
LIST = ("keys", "list", "--folder", "stage-keys")


def test_a_revocation_says_what_else_is_wrong(folder: Path, anna: Pair) -> None:
    (folder / "allowed/view/wrong.key").write_text("half a fi")
    done = run("keys", "revoke", "anna", "--folder", "stage-keys")
    assert done.returncode == 1
    assert done.stdout.startswith("Removed ")
    assert "that counts; but something else in stage-keys is wrong" in done.stderr
    assert "wrong.key is no certificate" in done.stderr
    assert not (folder / "allowed/view/anna.key").exists()


def test_a_list_shows_what_is_right_and_says_what_is_not(folder: Path, anna: Pair) -> None:
    (folder / "allowed/view/a.key").write_text("half a fi")
    (folder / "stage.key").write_text("half a fi")
    done = run(*LIST)
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["Allowed:", f"  anna  view  {anna.public}"]
    assert "stage.key is no certificate" in done.stderr
    assert "a.key is no certificate" in done.stderr
    write_file(folder / "stage.key", new_pair())
    assert "is not the public half of stage.key_secret" in run(*LIST).stderr


def test_a_list_of_ones_own(home: Path) -> None:
    made = run_json("keys", "new", "anna")
    wrong = Path(made["secret_file"]).with_name("bert.key_secret")
    wrong.write_text("half a fi")
    done = run("keys", "list")
    assert done.returncode == 1
    assert f"  anna  {made['public_key']}" in done.stdout
    assert "bert.key_secret is no certificate" in done.stderr


def test_a_second_key_of_ones_own(home: Path) -> None:
    assert "several" not in run("keys", "new", "anna").stdout
    said = run("keys", "new", "bert").stdout
    assert "You have several keys now: anna, bert. Choose one by --key or LAPLACE_KEY" in said


def test_a_key_that_is_allowed_already(folder: Path, anna: Pair, home: Path) -> None:
    file = str(write_file(home / "laptop.key", anna))
    done = run(*ALLOW, "view", file)
    assert (done.stdout, done.stderr, done.returncode) == ("anna may view already.\n", "", 0)
    done = run(*ALLOW, "operate", file)
    assert done.stdout == "anna may operate from now on; until now: view.\n"
    done = run(*ALLOW, "operate", file, "--name", "laptop")
    assert done.stdout == "laptop may operate from now on; until now: anna, operate.\n"
    assert [path.name for path in (folder / "allowed").rglob("*.key")] == ["laptop.key"]
    put_key(folder, "view", "bert")
    message = failed(*ALLOW, "view", file, "--name", "bert", status=2)
    assert "Two keys have the name 'bert'" in message
    assert (folder / "allowed/operate/laptop.key").exists()


def test_what_is_no_clients_key(folder: Path, home: Path) -> None:
    made = run_json("keys", "new", "stage", "--folder", "own-keys")
    message = failed(
        "keys", "allow", made["public_file"], "--role", "view", "--folder", "own-keys", status=2
    )
    assert "'stage' is the server's own key: it is no client's" in message


def test_commands_that_no_server_knows(folder: Path, anna: Pair, home: Path) -> None:
    (folder / "allowed/scans").mkdir()
    commands = folder / "allowed/scans/commands.txt"
    commands.write_text("SCANN\nGET\n")
    file = str(write_file(home / "robot.key", new_pair()))
    for arguments in ((*ALLOW, "scans", file), LIST):
        done = run(*arguments)
        assert done.returncode == 0
        assert "the role scans permits 'SCANN', which no server knows unless" in done.stderr
    commands.write_text("SCAN\nGET\n")
    assert run(*LIST).stderr == ""


def test_a_server_with_a_new_key(home: Path) -> None:
    for name in ("old", "new"):
        write_file(home / f"{name}.key", new_pair())
    run("keys", "trust", "stage.lab:5555", "old.key")
    message = failed("keys", "trust", "stage.lab:5555", "new.key", status=1)
    assert "laplace-server keys trust tcp://stage.lab:5555 new.key --replace" in message
    done = run("keys", "trust", "stage.lab:5555", "new.key", "--replace")
    assert (done.stderr, done.returncode) == ("", 0)
    known = run_json("keys", "list")["servers"]["stage.lab:5555"]
    assert known in (home / "new.key").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("new",),
        ("trust", "127.0.0.1:5555"),
        (*ALLOW[1:], "view"),
        ("revoke", "--folder", "stage-keys"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_text_of_a_key_is_not_shown(arguments: tuple[str, ...], folder: Path) -> None:
    secret = "O0HVW3Uu:C8v(hl*NL/ug[dUt{jN0EcBfr4-}}9r"
    done = run("keys", *arguments, secret)
    assert done.returncode != 0
    assert "text of a key" in done.stderr
    assert secret[-12:] not in done.stderr + done.stdout
