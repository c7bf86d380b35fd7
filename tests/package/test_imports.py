"""Who imports whom: no circles, one order of rooms, and server and client apart."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.import_graph import Import, circles, crossings, imports_of
from support.paths import CHECKOUT

import laplace_server

PACKAGE = Path(laplace_server.__file__).parent
CYTHON = CHECKOUT / "csrc" / "python"

# From the ground up: a room may import what stands on lower floors. "" is the package itself.
# A new room gets its place here.
FLOORS = [
    {"errors"},
    {"wire"},
    {"description", "protocol", "security"},
    {"validations"},
    {"client", "server"},
    {"fleet", "get_ip", "handlers", "stats", "stream", "server_controller"},
    {"server_lhc"},
    {""},
    {"sim", "qt", "metrics", "crash_report", "gather", "recording", "relay"},
    {"testing", "cli"},
    {"__main__"},
]
# What both sides know stands below them; neither imports the other.
SIDES = [
    {"client", "fleet", "stream", "gather", "relay"},
    {"server", "handlers", "get_ip", "server_lhc", "stats"},
]


@pytest.fixture(scope="module")
def imports() -> list[Import]:
    found = imports_of(PACKAGE, CYTHON)
    # What has to be seen: a plain import, a lazy one, one for types, one of a compiled module.
    for importer, imported in (
        ("laplace_server.server.life", "laplace_server.server.worker"),
        ("laplace_server", "laplace_server.server_lhc"),
        ("laplace_server.cli.progress", "laplace_server.stream"),
        ("laplace_server.server._core", "laplace_server.errors"),
    ):
        assert any((each.importer, each.imported) == (importer, imported) for each in found)
    return found


def test_there_is_no_circle(imports: list[Import]) -> None:
    told = ["\n  ".join(["a circle:", *map(str, way)]) for way in circles(imports)]
    if told:
        pytest.fail("\n".join(told), pytrace=False)


def test_rooms_import_downwards_and_the_sides_stay_apart(imports: list[Import]) -> None:
    told = crossings(imports, FLOORS, SIDES)
    if told:
        pytest.fail("\n".join(told), pytrace=False)


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} | {""}
    rooms |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set().union(*FLOORS)


def test_freezers_see_every_import() -> None:
    """They follow import statements, not calls with a name of a module."""
    hidden = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and node.id == "__import__")
        or (isinstance(node, ast.Attribute) and node.attr in ("import_module", "__import__"))
        or (isinstance(node, ast.alias) and node.name == "import_module")
    ]
    assert hidden == []


# ---- what importing a room loads

LOADED = """
import json, sys
import {module}
{use}
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(module: str, use: str = "") -> set[str]:
    code = LOADED.format(module=module, use=use)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


HEAVY = {"numpy", "PyQt6", "laplace_server.server", "laplace_server.server_lhc", "asyncio"}


@pytest.mark.parametrize(
    "room", ["client", "description", "errors", "protocol", "security", "validations"]
)
def test_a_client_loads_no_server(room: str) -> None:
    loaded = loaded_by(f"laplace_server.{room}")
    assert f"laplace_server.{room}" in loaded
    assert loaded & HEAVY == set()
    assert not any(name.startswith("laplace_server.server.") for name in loaded)


def test_gathering_loads_no_server() -> None:
    assert loaded_by("laplace_server.gather") & HEAVY == {"asyncio"}


def test_reading_a_recording_loads_no_server() -> None:
    pytest.importorskip("h5py")
    assert loaded_by("laplace_server.recording") & HEAVY <= {"numpy", "asyncio"}


def test_errors_load_nothing_else() -> None:
    ours = {name for name in loaded_by("laplace_server.errors") if name.startswith("laplace_")}
    assert ours == {"laplace_server", "laplace_server.errors"}


def test_asyncio_is_loaded_with_the_client_for_it() -> None:
    loaded = loaded_by("laplace_server.client", "laplace_server.client.AsyncClientLHC")
    assert "asyncio" in loaded
    assert loaded & HEAVY == {"asyncio"}


def test_the_package_loads_the_server_when_it_is_named() -> None:
    assert "laplace_server.server_lhc" not in loaded_by("laplace_server")
    for use in ("laplace_server.ServerLHC", "from laplace_server import ServerLHC"):
        assert "laplace_server.server_lhc" in loaded_by("laplace_server", use)
    assert "laplace_server.server_lhc" not in loaded_by("laplace_server", "dir(laplace_server)")
    assert {"ServerLHC", "__version__"} <= set(dir(laplace_server))
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        laplace_server.Server  # noqa: B018


# ---- the checker itself


def made_up(folder: Path, sources: dict[str, str]) -> list[Import]:
    """The imports of a package ``p`` with these files."""
    for name, source in {"__init__.py": "", **sources}.items():
        path = folder / "p" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return imports_of(folder / "p")


def ways(imports: list[Import]) -> list[list[str]]:
    return [[each.importer for each in way] for way in circles(imports)]


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "from p.a import f",
        "from . import a",
        "from .a import f",
        "def f():\n    from p.a import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.a",
        "class C:\n    try:\n        import p.a as other\n    except ImportError:\n        pass",
    ],
)
def test_every_kind_of_import_makes_a_circle(tmp_path: Path, back: str) -> None:
    imports = made_up(tmp_path, {"a.py": "from p.b import g", "b.py": back})
    assert ways(imports) == [["p.a", "p.b"]]
    line = back[: back.index("p.a" if "p.a" in back else "from")].count("\n") + 1
    assert f"p/b.py:{line}: p.b imports p.a" in str(circles(imports)[0][1])


def test_circles_of_any_length_and_several(tmp_path: Path) -> None:
    sources = {f"m{n}.py": f"import p.m{(n + 1) % 5}" for n in range(5)}
    sources |= {"x.py": "import p.y, p.m0", "y.py": "from .r import x", "r/__init__.py": ""}
    sources |= {"r/x.py": "from .. import x", "apart.py": "import os, p.x"}
    assert ways(made_up(tmp_path, sources)) == [
        ["p.m0", "p.m1", "p.m2", "p.m3", "p.m4"],
        ["p.r.x", "p.x", "p.y"],
    ]


def test_a_room_is_no_circle_with_what_is_in_it(tmp_path: Path) -> None:
    sources = {
        "__init__.py": "from .r import f",
        "r/__init__.py": "from p.r.a import f",
        "r/a.py": "from p.r import b\nfrom . import b\nimport os, json.decoder",
        "r/b.py": "",
    }
    assert ways(made_up(tmp_path, sources)) == []
    assert ways(made_up(tmp_path, {**sources, "r/b.py": "from p.r import f"})) == [
        ["p.r", "p.r.a", "p.r.b"]
    ]
    assert ways(made_up(tmp_path, {**sources, "r/b.py": "from ... import p"})) == []
    assert ways(made_up(tmp_path, {**sources, "r/b.py": "from p import f"})) == [
        ["p", "p.r", "p.r.a", "p.r.b"]
    ]


def test_rooms_on_floors(tmp_path: Path) -> None:
    floors = [{"low"}, {"left", "right"}, {"top"}]
    imports = made_up(
        tmp_path,
        {
            "low.py": "",
            "left/__init__.py": "from p.left import a",
            "left/a.py": "import p.low",
            "right.py": "import p.low",
            "top.py": "import p.left.a, p.right, p.low",
        },
    )
    assert crossings(imports, floors, [{"left"}, {"right"}]) == []
    wrong = made_up(
        tmp_path,
        {"low.py": "\nimport p.top", "right.py": "import p.left", "new.py": "import p.low"},
    )
    assert crossings(wrong, floors) == [
        "p/low.py:2: p.low imports p.top: 'top' is not below 'low'",
        "p/new.py:1: p.new imports p.low: the room 'new' has no floor yet",
        "p/new.py:1: p.new imports p.low: 'low' is not below 'new'",
        "p/right.py:1: p.right imports p.left: 'left' is not below 'right'",
    ]
    floors = [{"low"}, {"left"}, {"right"}, {"top"}]
    imports = made_up(tmp_path, {"low.py": "", "new.py": ""})
    assert [
        text.replace("\\", "/") for text in crossings(imports, floors, [{"left"}, {"right"}])
    ] == [
        "p/right.py:1: p.right imports p.left: 'right' and 'left' are to know nothing of each other"
    ]
    assert crossings(imports, floors) == []


def test_compiled_modules_are_read_too(tmp_path: Path) -> None:
    cython = tmp_path / "csrc"
    cython.mkdir()
    (cython / "_c.pyx").write_text('cimport p.b\ninclude "more.pxi"\nimport zmq\n')
    (cython / "more.pxi").write_text("from p import b\nimport os\n")
    made_up(tmp_path, {"a/_c.pyi": "", "a/__init__.py": "", "b.py": "from p.a import _c"})
    imports = imports_of(tmp_path / "p", cython)
    assert sorted(map(str, imports)) == [
        "more.pxi:1: p.a._c imports p.b",
        "p/b.py:1: p.b imports p.a._c",
    ]
    assert ways(imports) == [["p.a._c", "p.b"]]
