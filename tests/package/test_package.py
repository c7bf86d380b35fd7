"""What is installed: version, names, files, and what importing it does not do."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # begins threads, which no test has left behind
import pytest
from support.paths import CHECKOUT

import laplace_server
from laplace_server import ServerLHC
from laplace_server.client import ClientLHC

PACKAGE = Path(laplace_server.__file__).parent

needs_prometheus = pytest.mark.skipif(
    importlib.util.find_spec("prometheus_client") is None,
    reason="prometheus-client is not installed",
)
needs_h5py = pytest.mark.skipif(
    importlib.util.find_spec("h5py") is None, reason="h5py is not installed"
)
needs_pyqt6 = pytest.mark.skipif(
    importlib.util.find_spec("PyQt6") is None, reason="PyQt6 is not installed"
)


def test_version_has_one_source() -> None:
    pyproject = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^version = "(.+)"$', pyproject, flags=re.MULTILINE)

    assert stated == [laplace_server.__version__]
    assert stated == [importlib.metadata.version("laplace-server")]
    repeated = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if laplace_server.__version__ in path.read_text(encoding="utf-8")
    ]
    assert repeated == []


def test_public_names() -> None:
    assert laplace_server.__all__ == ["ServerLHC", "__version__"]
    namespace: dict[str, Any] = {}
    exec("from laplace_server import *", namespace)
    assert namespace["ServerLHC"] is ServerLHC


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("server_lhc", "ServerLHC"),
        pytest.param("server_controller", "ServerController", marks=needs_pyqt6),
        pytest.param("qt", "StreamBridge", marks=needs_pyqt6),
        pytest.param("qt", "ClientBridge", marks=needs_pyqt6),
        ("protocol", "PROTOCOL_VERSION"),
        ("client", "ClientLHC"),
        ("gather", "gather"),
        pytest.param("recording", "Recorder", marks=needs_h5py),
        pytest.param("recording.replay", "Replay", marks=needs_h5py),
        ("errors", "LaplaceError"),
        ("security", "ServerSecurity"),
        ("security", "ClientSecurity"),
        ("stats", "ServerStats"),
        ("crash_report", "enable"),
        pytest.param("metrics", "serve_metrics", marks=needs_prometheus),
        ("sim", "make_device"),
        ("testing", "make_lhc_server"),
        ("cli", "main"),
    ],
)
def test_modules(module: str, name: str) -> None:
    imported = importlib.import_module(f"laplace_server.{module}")
    assert getattr(imported, name) is not None


IMPORTED = """
import json, sys
import laplace_server, laplace_server.client, laplace_server.protocol, laplace_server.sim
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)))
"""


def test_import_is_light() -> None:
    """No GUI, no NumPy, no command line: only what the package depends on."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )

    loaded = set(json.loads(done.stdout))
    assert {"zmq", "orjson"} <= loaded
    assert loaded.isdisjoint({"PyQt6", "numpy", "typer", "rich", "pytest"})


def test_runtime_requirements() -> None:
    required = importlib.metadata.requires("laplace-server") or []
    always = {re.split(r"[<>=!~ ;]", line)[0] for line in required if "extra ==" not in line}

    assert always == {"pyzmq", "orjson"}


def test_extras() -> None:
    extras = importlib.metadata.metadata("laplace-server").get_all("Provides-Extra")
    assert set(extras or []) >= {"qt", "cli", "metrics", "record", "test", "bench", "dev"}


def test_types_are_installed_and_sources_are_not() -> None:
    names = {path.name for path in PACKAGE.rglob("*") if path.is_file()}
    suffixes = {Path(name).suffix for name in names}

    assert {"py.typed", "_core.pyi", "_frames.pyi"} <= names
    assert suffixes.isdisjoint({".pyx", ".pxd", ".pxi", ".c", ".cpp", ".h"})


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("server._core", ["-c", "from laplace_server import ServerLHC"]),
        ("server._core", ["-c", "from laplace_server.get_ip import get_ip"]),
        ("server._core", ["-c", "from laplace_server.sim import make_device"]),
        ("server._core", ["-m", "laplace_server.server_lhc"]),
        ("client._frames", ["-c", "from laplace_server.client import ClientLHC"]),
        ("client._frames", ["-c", "from laplace_server.client import AsyncClientLHC"]),
        ("client._frames", ["-c", "from laplace_server.stream import Subscription"]),
    ],
)
def test_a_clone_without_compiled_modules_says_what_to_do(
    tmp_path: Path, missing: str, command: list[str]
) -> None:
    leave_out = shutil.ignore_patterns("_*.so", "_*.pyd", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "laplace_server", ignore=leave_out)
    # -S: without the hook of an editable install, which finds the core of another folder.
    import zmq

    packages = str(Path(zmq.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last_line = done.stderr.strip().splitlines()[-1]
    text = f"ImportError: the compiled module laplace_server.{missing} is not built"
    assert last_line.startswith(text)
    assert str(tmp_path) in last_line
    assert "another folder" in last_line
    assert "pip install -e ." in last_line
    assert "circular" not in done.stderr


def test_no_text_tells_to_install_the_predecessor() -> None:
    """PyPI has 0.2.0 under this name, without any extras."""
    places = list(PACKAGE.rglob("*.py"))
    if (CHECKOUT / "docs").exists():
        places += [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md")]
        places += (CHECKOUT / "examples").glob("*.py")
    told = [
        (path.name, line.strip())
        for path in places
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"pip install .?laplace-server\[", line)
    ]
    assert told == []


def test_compiled_modules_are_compiled() -> None:
    from laplace_server.client import _frames
    from laplace_server.server import _core

    assert {Path(module.__file__).suffix for module in (_core, _frames)} <= {".so", ".pyd"}


# ---- README

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


ELSEWHERE = ("controller", "laplace_server.qt", "def test_", "laplace_server.recording")
"""What runs with a window, in pytest, or with a file that is there."""


def plain_blocks() -> list[str]:
    return [block for block in BLOCKS if not any(word in block for word in ELSEWHERE)]


def test_readme_examples_work() -> None:
    """The examples of the README, one after the other in one program."""
    names: dict[str, Any] = {}
    try:
        for block in plain_blocks():
            code = block.replace("tcp://*:5555", "tcp://127.0.0.1:*")
            if "server" in names:
                code = code.replace("127.0.0.1:5555", f"127.0.0.1:{names['server'].server_port}")
            exec(compile(code, "README.md", "exec"), names)
        server = names["server"]
        with ClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
            assert client.info()["name"] == server.name
            assert client.get()["positions"] == [1.5, 2.0]
            assert client.request("HOME", {"axis": 0}) == {"axis": 0}
    finally:
        if "server" in names:
            names["server"].stop()


@needs_pyqt6
@pytest.mark.parametrize(("module", "count"), [("server_controller", 4), ("qt", 7)])
def test_readme_qt_examples_use_names_that_exist(module: str, count: int) -> None:
    from laplace_server.qt import ClientBridge, StreamBridge
    from laplace_server.server_controller import ServerController

    blocks = [block for block in BLOCKS if f"laplace_server.{module} " in block]
    tree = ast.parse("\n".join(blocks))
    used = {
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    known = {"server": ServerLHC, "controller": ServerController}
    known |= {"bridge": StreamBridge, "stage": ClientBridge}
    checked = [(name, attribute) for name, attribute in used if name in known]
    assert len(checked) >= count
    for name, attribute in checked:
        assert hasattr(known[name], attribute), f"{name}.{attribute}"


def test_readme_tests_work(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "def test_" in block)
    plugins, tests = block.split("\n", 1)
    (tmp_path / "conftest.py").write_text(plugins.partition("#")[0])
    (tmp_path / "test_it.py").write_text("class Stage:\n" + STAGE + tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


STAGE = """
    def __init__(self, address):
        from laplace_server import ServerLHC
        self.server = ServerLHC("stage", address, 2, "MOTOR")
        self.server.set_on_position_changed(self.move)
        self.server.start()
    def move(self, positions):
        self.target = positions
    def close(self):
        self.server.stop()

"""
