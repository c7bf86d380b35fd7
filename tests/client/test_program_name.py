"""What clients are called that were given no name."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from support.both_clients import Kind
from support.ports import own_address

from laplace_server.client.program_name import program_name

pytestmark = pytest.mark.transports()


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ([os.path.join("lab", "recorder.py"), "--seconds", "1"], "recorder.py"),
        (["recorder"], "recorder"),
        ([os.path.join("lab", "viewer", "__main__.py")], "viewer"),
        (["__main__.py"], "python"),
        (["-c", "x"], "python"),
        (["-m"], "python"),
        ([""], "python"),
        ([], "python"),
        (["caf\udce9.py"], "caf?.py"),
    ],
)
def test_names(argv: list[str], name: str, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert program_name() == name
    with kind(own_address()) as client:
        assert client.name == name
    with kind(own_address(), name="mine") as client:
        assert client.name == "mine"


def test_an_embedded_python_has_no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys, "argv")
    assert program_name() == "python"


def test_what_the_server_is_told(make_server: Any, make_child: Any) -> None:
    server = make_server()
    server.declare_stream("s")
    script = """
        import sys
        from laplace_server.client import ClientLHC
        sys.argv[0] = "lab/display.py"
        with ClientLHC(sys.argv[1], timeout_s=20) as client, client.subscribe("s"):
            print(client.info()["device"], flush=True)
            sys.stdin.readline()
    """
    child = make_child(script, f"tcp://127.0.0.1:{server.server_port}")
    assert child.hear() == "MOTOR"
    assert [seen.who for seen in server.stats().subscribers] == ["display.py"]
