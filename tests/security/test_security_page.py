"""docs/security.md: its commands do what it says, and its numbers are those of the code."""

from __future__ import annotations

import ast
import logging
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.command_line import run
from support.paths import CHECKOUT
from support.peers import PATIENCE_S, request
from support.rights import logged
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.protocol import LOGGER_NAME
from laplace_server.security import ServerSecurity
from laplace_server.wire.commands import COMMANDS

PAGE = (CHECKOUT / "docs" / "security.md").read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    """Language and text of each."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found]


class Reader:
    """Does what the page says, in one folder, to which each public key is brought when it is made.

    Where the page's server is at stage.lab:5555, this one is at a port of this machine.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.server: ServerLHC | None = None
        self.where = "stage.lab:5555"
        self.done: list[str] = []
        self.printed: dict[str, str] = {}
        self.names: dict[str, Any] = {}

    def follow(self, language: str, text: str) -> None:
        text = text.replace("stage.lab:5555", self.where)
        text = text.replace("stage.lab_5555", self.where.replace(":", "_"))
        text = text.replace("~/.config/laplace-server", self.home.as_posix())
        if language == "sh":
            for line in text.splitlines():
                self.command(line)
        elif language == "python":
            self.program(text)

    def command(self, line: str) -> None:
        name, *arguments = shlex.split(line, comments=True)
        if name == "mkdir":
            assert arguments[:2] == ["-m", "700"]
            Path(*arguments[2:]).mkdir(0o700)
        elif name == "mv":
            for file in arguments[:-1]:
                shutil.move(file, arguments[-1])
        else:
            assert name == "laplace-server"
            done = run(*arguments)
            assert (done.stderr, done.returncode) == ("", 0), line
            for public in re.findall(r"needs? (.*\.key)\.$", done.stdout, re.MULTILINE):
                shutil.copy(public, ".")
            what = " ".join(arguments[: 2 if arguments[0] == "keys" else 1])
            self.done.append(what)
            self.printed[what] = done.stdout

    def program(self, text: str) -> None:
        names = self.names = {**self.names}
        for name in ("server", "dealer"):
            names.pop(name, None)
        exec(compile(text.replace("tcp://*:5555", "tcp://127.0.0.1:*"), "a program", "exec"), names)
        if "server" in names:
            self.server = names["server"]
            assert self.server is not None
            self.where = f"127.0.0.1:{self.server.server_port}"
            self.done.append("a server")
        elif "dealer" in names:
            with names["dealer"] as dealer:
                dealer.linger = 0
                dealer.send_multipart([b"", request("PING")])
                assert dealer.poll(PATIENCE_S * 1000)
                self.done.append("a client of pyzmq")
        else:
            self.done.append("another program")


@pytest.mark.transports("tcp")
def test_from_its_top_to_its_end(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAPLACE_KEY", "anna")  # one user is all of them here
    caplog.set_level(logging.INFO, LOGGER_NAME)
    reader = Reader(home)
    try:
        for language, text in blocks():
            if language == "python" and "stage.key_secret" in text:
                shutil.copy("stage-keys/stage.key_secret", tmp_path)
            reader.follow(language, text)
        assert re.search(
            r"^  anna +operate .*\n  display +view ", reader.printed["keys list"], re.MULTILINE
        )
        assert [name for name in reader.done if not name.startswith("keys")] == [
            "a server",
            "ping",
            "set",
            "another program",
            "a client of pyzmq",
            "another program",
        ]
        assert len(logged(caplog, "Received 'SET' from", "(anna).")) == 2
        new_key_counts(reader, caplog)
    finally:
        if reader.server is not None:
            reader.server.stop()


def new_key_counts(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    """The last thing that the page does."""
    certificate = ServerSecurity.from_folder("stage-keys")
    assert [(key.name, key.role) for key in certificate.rights.keys.values()] == [
        ("anna", "operate")
    ]
    wait_until(
        lambda: logged(caplog, f"its own public key is {certificate.public_key}"), "it is read"
    )
    reader.command(f"laplace-server ping {reader.where}")


def test_its_programs_are_python() -> None:
    programs = [text for language, text in blocks() if language == "python"]
    assert len(programs) > 3
    for program in programs:
        ast.parse(program)


def test_every_command_has_a_role() -> None:
    table = PAGE[PAGE.index("| role | may |") : PAGE.index("A key has one role")]
    for name in COMMANDS:
        assert re.search(rf"[ ,]{name}[ ,]", table), name
