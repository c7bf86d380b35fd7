"""``laplace-server keys``, and ``--key`` of the other commands."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import failed, run, run_json
from support.machine import WINDOWS
from support.serving import serving

from laplace_server import ServerLHC
from laplace_server.client._frames import NO_KEY
from laplace_server.security import ClientSecurity, ServerSecurity

pytestmark = pytest.mark.usefixtures("home")


def said(*arguments: str) -> str:
    done = run(*arguments)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def test_a_lab(home: Path) -> None:
    """From nothing to a server and a client that know each other, and back."""
    server = run_json("keys", "new", "stage", "--folder", "stage-keys")
    anna = run_json("keys", "new", "anna")
    assert server["name"] == "stage"
    assert Path(server["secret_file"]) == Path("stage-keys/stage.key_secret")
    for made in (server, anna):
        assert made["public_key"] in Path(made["public_file"]).read_text()
        if not WINDOWS:
            assert stat.S_IMODE(Path(made["secret_file"]).stat().st_mode) == 0o600

    allow = ("keys", "allow", anna["public_file"], "--folder", "stage-keys")
    assert said(*allow, "--role", "operate") == "anna may operate.\n"
    assert said("keys", "trust", "localhost:5555", server["public_file"]) == (
        "The server at tcp://localhost:5555 has to have this key from now on.\n"
    )

    security = ServerSecurity.from_folder("stage-keys")
    assert security.public_key == server["public_key"]
    assert security.allowed == {anna["public_key"]: "operate"}
    client = ClientSecurity.find("tcp://localhost:5555")
    assert client is not None
    assert (client.public_key, client.server_key) == (anna["public_key"], server["public_key"])

    assert run_json("keys", "list") == {
        "keys": {"anna": anna["public_key"]},
        "servers": {"localhost:5555": server["public_key"]},
    }
    assert run_json("keys", "list", "--folder", "stage-keys") == {
        "server": {"name": "stage", "public_key": server["public_key"]},
        "allowed": [{"name": "anna", "role": "operate", "public_key": anna["public_key"]}],
    }
    listed = said("keys", "list", "--folder", "stage-keys").splitlines()
    assert listed == [
        f"The server is stage  {server['public_key']}",
        "Allowed:",
        f"  anna  operate  {anna['public_key']}",
    ]

    removed = said("keys", "revoke", "anna", "--folder", "stage-keys")
    assert re.fullmatch(r"Removed stage-keys.allowed.operate.anna\.key\.\n", removed)
    assert anna["public_key"] in security.reload().removed
    assert said("keys", "list", "--folder", "stage-keys").splitlines()[1:] == ["Allowed:", "  none"]


def test_roles_and_names(home: Path) -> None:
    said("keys", "new", "stage", "--folder", "keys")
    said("keys", "new", "anna")
    said("keys", "new", "bert")
    files = run_json("keys", "list")["keys"]
    assert list(files) == ["anna", "bert"]
    assert said("keys", "list").splitlines()[-1] == "  none"
    (home / "keys/allowed/scans").mkdir()
    (home / "keys/allowed/scans/commands.txt").write_text("SCAN\nGET\n")
    made = Path(run_json("keys", "new", "robot")["public_file"])
    allow = ("keys", "allow", "--folder", "keys")
    said(*allow, str(made), "--role", "scans", "--name", "arm")
    assert run_json("keys", "list", "--folder", "keys")["allowed"] == [
        {
            "name": "arm",
            "role": "scans",
            "commands": ["GET", "SCAN"],
            "public_key": run_json("keys", "list")["keys"]["robot"],
        }
    ]
    assert said(*allow, str(made), "--role", "scans") == (
        "arm has the role scans (GET, SCAN) already.\n"
    )
    assert said(*allow, str(made), "--role", "view") == (
        "arm may view from now on; until now: scans (GET, SCAN).\n"
    )
    message = failed(*allow, str(made.with_name("anna.key")), "--role", "fly", status=1)
    assert "There is no role 'fly'" in message
    message = failed(*allow, str(made.with_name("anna.key_secret")), "--role", "view", status=1)
    assert "holds a secret key where a public one is meant" in message
    assert len(run_json("keys", "list", "--folder", "keys")["allowed"]) == 1


def test_nothing_is_overwritten(home: Path) -> None:
    first = run_json("keys", "new", "anna")
    message = failed("keys", "new", "anna", status=1)
    assert (
        message
        == f"laplace-server: {first['secret_file']} is there already; nothing is overwritten.\n"
    )
    assert run_json("keys", "list")["keys"] == {"anna": first["public_key"]}
    said("keys", "new", "stage", "--folder", "keys")
    assert "has a key already" in failed("keys", "new", "stage2", "--folder", "keys", status=1)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["new", "../anna"], 2),
        (["new"], 2),
        (["list", "--folder", "missing"], 1),
        (["allow", "missing.key", "--role", "view", "--folder", "missing"], 1),
        (["allow", "missing.key", "--role", "view"], 2),
        (["allow", "missing.key", "--folder", "missing"], 2),
        (["revoke", "anna", "--folder", "missing"], 1),
        (["revoke", "anna"], 2),
        (["trust", "localhost:5555", "missing.key"], 1),
        (["trust", "localhost", "missing.key"], 2),
    ],
)
def test_wrong_arguments(arguments: list[str], status: int) -> None:
    assert failed("keys", *arguments, status=status)


def test_help() -> None:
    listed = said("keys", "--help")
    for command in ("new", "list", "trust", "allow", "revoke"):
        assert re.search(rf"^ +{command} ", listed, re.MULTILINE)
        said("keys", command, "--help")
    assert listed.count("...") == 1  # of the usage: no command's line is cut


@pytest.mark.parametrize(
    "command", [["ping"], ["info"], ["get"], ["set", "1"], ["save", "/data"], ["stop"], ["stream"]]
)
def test_a_key_that_is_wanted_is_not_left_out(command: list[str], home: Path) -> None:
    name, *rest = command
    message = failed(name, "localhost:5555", *rest, "--key", "anna", status=1)
    assert "the key of the server at tcp://localhost:5555 is not known" in message
    assert "laplace-server keys trust tcp://localhost:5555 FILE" in message


@pytest.fixture
def stage(home: Path) -> Iterator[tuple[ServerLHC, str]]:
    """A server of a folder of keys, which allows "anna" to operate; and where it is."""
    key = run_json("keys", "new", "stage", "--folder", "stage-keys")
    anna = run_json("keys", "new", "anna")
    allow = ("keys", "allow", anna["public_file"], "--role", "operate", "--folder", "stage-keys")
    run_json(*allow)
    security = ServerSecurity.from_folder("stage-keys")
    with serving(security=security, data={"positions": [1.5]}, freedom=1) as server:
        server.publish("shots", {"n": 1})
        address = f"127.0.0.1:{int(server.server_port)}"
        said("keys", "trust", address, key["public_file"])
        yield server, address


@pytest.mark.transports("tcp")
def test_commands_find_the_keys(stage: tuple[ServerLHC, str]) -> None:
    server, address = stage
    assert run_json("ping", address)["seconds"] > 0
    assert run_json("info", address)["name"] == "device"
    assert run_json("get", address) == {"positions": [1.5]}
    assert run_json("set", address, "2.5")["ok"]
    assert run_json("save", address, "/data")["ok"]
    (line,) = said(
        "stream", address, "shots", "--start", "oldest", "--count", "1", "--json"
    ).splitlines()
    assert json.loads(line)["data"] == {"n": 1}
    assert "not permitted" in failed("stop", address, status=1)
    assert server.is_alive()


@pytest.mark.transports("tcp")
def test_another_key_of_ones_own(stage: tuple[ServerLHC, str]) -> None:
    _server, address = stage
    bert = run_json("keys", "new", "bert")
    assert "Choose one by --key or LAPLACE_KEY" in failed("get", address, status=1)
    for chosen in ("bert", bert["secret_file"]):
        refused = failed("get", address, "--key", chosen, "--timeout", "0.5", status=1)
        assert refused.endswith("within 0.5 s: it does not allow this client's key.\n")
    assert run_json("get", address, "--key", "anna") == {"positions": [1.5]}
    done = run("get", address, "--json", env={"LAPLACE_KEY": "anna"})
    assert json.loads(done.stdout) == {"positions": [1.5]}
    done = run("get", address, "--timeout", "0.5", env={"LAPLACE_KEY": "bert"})
    assert "it does not allow this client's key" in done.stderr


@pytest.mark.transports("tcp")
def test_a_server_that_is_not_known(stage: tuple[ServerLHC, str]) -> None:
    """In the clear, it says that it wants a key; with another one of it, nothing is said."""
    server, _address = stage
    elsewhere = f"localhost:{int(server.server_port)}"
    message = failed("get", elsewhere, "--timeout", "0.5", status=1)
    assert message.endswith(f"within 0.5 s: {NO_KEY}.\n")
    assert "laplace-server keys trust ADDRESS FILE" in message
    wrong = run_json("keys", "new", "other", "--folder", "other-keys")
    said("keys", "trust", elsewhere, wrong["public_file"])
    message = failed("get", elsewhere, "--timeout", "0.5", status=1)
    assert "most likely it has another key than the one expected" in message
    assert "laplace-server keys trust ADDRESS FILE --replace takes its new one" in message


@pytest.mark.transports("tcp")
def test_without_libsodium(stage: tuple[ServerLHC, str]) -> None:
    _server, address = stage
    for command in (["get", address], ["stream", address]):
        done = run(*command, env={"LAPLACE_LIBSODIUM": "/nowhere/libsodium.so"})
        assert (done.stdout, done.returncode) == ("", 1)
        assert "cannot use the libsodium that LAPLACE_LIBSODIUM names" in done.stderr
        assert "Traceback" not in done.stderr
