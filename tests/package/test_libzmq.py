"""Which libzmq is used: the order of the search, and one copy in one process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from support.isolated import run_script

from laplace_server.server import _core, libzmq

Candidate = tuple[str, str, bool]


class Fake:
    """Stands for the core's loader: knows what is wrong with each path."""

    def __init__(self, **problems: str) -> None:
        self.problems = problems
        self.tried: list[tuple[str, bool]] = []

    def __call__(self, path: str, only_loaded: bool) -> str:
        self.tried.append((path, only_loaded))
        return self.problems.get(path, "")


def three() -> Iterator[Candidate]:
    yield "pyzmq's compiled module", "backend", True
    yield "bundled", "bundled", False
    yield "the system's library", "system", False


ALL = [("backend", True), ("bundled", False), ("system", False)]


@pytest.mark.parametrize(
    ("problems", "found", "tried"),
    [
        ({}, "backend", 1),
        ({"backend": "lacks zmq_send"}, "bundled", 2),
        ({"backend": "not found", "bundled": "too old"}, "system", 3),
    ],
)
def test_the_best_that_works_is_used(problems: dict[str, str], found: str, tried: int) -> None:
    fake = Fake(**problems)
    assert libzmq.load(fake, environment={}, candidates=three) == found
    assert fake.tried == ALL[:tried]


def test_the_environment_goes_first_and_alone() -> None:
    fake = Fake()
    mine = os.path.abspath("/mine.so")
    chosen = {libzmq.ENVIRONMENT_VARIABLE: mine}
    assert libzmq.load(fake, environment=chosen, candidates=three) == mine
    assert fake.tried == [(mine, False)]
    fake = Fake(**{mine: "too old"})
    with pytest.raises(ImportError, match=r"LAPLACE_LIBZMQ.*mine.so \(too old\)"):
        libzmq.load(fake, environment=chosen, candidates=three)
    assert fake.tried == [(mine, False)]


def test_the_environment_may_name_a_library_or_a_path() -> None:
    """The system's loader searches a name; Windows takes no path that is not whole."""
    relative = os.path.join("lib", "libzmq.so.5")
    for given, tried in (("libzmq.so.5", "libzmq.so.5"), (relative, os.path.abspath(relative))):
        fake = Fake()
        libzmq.load(fake, environment={libzmq.ENVIRONMENT_VARIABLE: given}, candidates=three)
        assert fake.tried == [(tried, False)]


def test_an_empty_variable_counts_as_unset() -> None:
    fake = Fake()
    environment = {libzmq.ENVIRONMENT_VARIABLE: ""}
    assert libzmq.load(fake, environment=environment, candidates=three) == "backend"


def test_nothing_found_says_what_was_tried_and_what_to_do() -> None:
    fake = Fake(backend="lacks zmq_bind", bundled="not found", system="too old")
    with pytest.raises(ImportError) as caught:
        libzmq.load(fake, environment={}, candidates=three)
    text = str(caught.value)
    for part in (
        "pyzmq's compiled module: backend (lacks zmq_bind)",
        "bundled: bundled (not found)",
        "system (too old)",
        "pip install",
        "LAPLACE_LIBZMQ",
    ):
        assert part in text
    assert fake.tried == ALL
    with pytest.raises(ImportError, match="no usable libzmq"):
        libzmq.load(fake, environment={}, candidates=lambda: iter(()))


def test_pyzmq_comes_first_by_default() -> None:
    kind, path, only_loaded = next(libzmq.default_candidates())
    assert kind == "pyzmq's compiled module"
    assert path == libzmq.pyzmq_backend()
    assert only_loaded


@pytest.mark.parametrize(
    ("system", "library", "found_by"),
    [
        ("linux", "libzmq.so.5", "zmq"),
        ("darwin", "libzmq.5.dylib", "zmq"),
        ("win32", "libzmq.dll", "libzmq"),
    ],
)
def test_the_order_is_pyzmq_bundled_system(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, library: str, found_by: str
) -> None:
    """As each system would see it; the licences beside a bundled library are no libraries."""
    (tmp_path / library).write_bytes(b"")
    (tmp_path / "libzmq-licence.txt").write_text("")
    monkeypatch.setattr(libzmq, "BUNDLED", tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    find: dict[str, str] = {found_by: f"/system/{library}"}
    monkeypatch.setattr("ctypes.util.find_library", find.get)
    kinds = [(path, only_loaded) for _, path, only_loaded in libzmq.default_candidates()]
    assert kinds == [
        (libzmq.pyzmq_backend(), True),
        (str(tmp_path / library), False),
        (f"/system/{library}", False),
    ]


def test_what_windows_finds_when_the_bundle_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """pyzmq's module is there but exports nothing, and nobody else has a libzmq."""
    monkeypatch.setattr(libzmq, "BUNDLED", tmp_path)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    backend = libzmq.pyzmq_backend()
    assert backend is not None
    fake = Fake(**{backend: "lacks zmq_version"})
    with pytest.raises(ImportError) as caught:
        libzmq.load(fake, environment={})
    assert f"pyzmq's compiled module: {backend} (lacks zmq_version)" in str(caught.value)
    assert "pip install --force-reinstall laplace-server" in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies pyzmq's own libzmq")
def test_a_bundled_library_serves(tmp_path: Path) -> None:
    """As in a Windows wheel: pyzmq's module shows nothing, the folder `bundled` has a libzmq."""
    output = run_script(
        """
        import pathlib, shutil, sys
        import zmq
        maps = [line for line in open("/proc/self/maps") if "libzmq" in line]
        loaded = {line.split(maxsplit=5)[5].strip() for line in maps}
        folder = pathlib.Path(sys.argv[1])
        if not loaded:
            print("none")
            sys.exit()
        for path in pathlib.Path(loaded.pop()).parent.iterdir():
            if path.is_file():
                shutil.copy(path, folder / path.name)
        import laplace_server.server.libzmq as libzmq
        from laplace_server.server import _core
        libzmq.BUNDLED = folder
        libzmq.pyzmq_backend = lambda: None
        used = libzmq.load(_core.load_libzmq, environment={})
        assert pathlib.Path(used).parent == folder, used
        from laplace_server import ServerLHC
        from laplace_server.client import ClientLHC
        with ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}) as server:
            with ClientLHC(server.address) as client:
                print(client.get()["x"])
        """,
        str(tmp_path),
    )
    assert output.strip() in ("1", "none")


def test_the_core_reports_what_cannot_be_used(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library")
    assert _core.load_libzmq(str(text), False) == "not found"
    assert _core.load_libzmq(str(tmp_path / "none.so"), False) == "not found"
    assert _core.load_libzmq("", True) in ("not found", "lacks zmq_version")
    assert _core.load_libzmq(str(tmp_path / "é.so"), True) == "not found"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the C library's name")
def test_a_library_that_is_no_libzmq_changes_nothing() -> None:
    before = _core.libzmq_version()
    assert _core.load_libzmq("libc.so.6", True) == "lacks zmq_version"
    assert _core.libzmq_version() == before
    assert before[0] == zmq.zmq_version_info()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_one_process_holds_one_libzmq() -> None:
    output = run_script("""
        import zmq
        from laplace_server import ServerLHC
        from laplace_server.server import _core
        server = ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR")
        server.start()
        context = zmq.Context()
        client = context.socket(zmq.REQ)
        client.connect(server.address)
        client.send_json({"from": "a", "cmd": "PING", "version": "0.2.2", "payload": {}})
        assert client.recv_json()["payload"] == {"PING": "PONG"}
        client.close()
        context.term()
        server.stop()
        files = {}
        for line in open("/proc/self/maps"):
            place, _, _, _, _, *name = line.split()
            begin, end = (int(part, 16) for part in place.split("-"))
            if name and ".so" in name[0]:
                files.setdefault(name[0], []).append((begin, end))
        table = _core.libzmq_version()[1]
        holder = [name for name, ranges in files.items()
                  if any(begin <= table < end for begin, end in ranges)]
        print("\\n".join([*holder, "--", *(name for name in files if "libzmq" in name)]))
    """)
    holder, others = (part.split() for part in output.split("--"))
    assert len(holder) == 1
    # Either libzmq is a file of its own, one, or it is inside pyzmq's module.
    if others:
        assert others == holder
    else:
        assert holder == [libzmq.pyzmq_backend()]


def test_a_wrong_choice_fails_the_import_with_a_clear_text() -> None:
    output = run_script(
        """
        try:
            from laplace_server import ServerLHC
        except ImportError as problem:
            print(problem)
        """,
        LAPLACE_LIBZMQ="/nowhere/libzmq.so",
    )
    assert "/nowhere/libzmq.so (not found)" in output
