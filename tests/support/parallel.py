"""What pytest-xdist needs to run these tests: ``pytest -n 6``.

Tests that are marked ``alone`` measure time, or the processor's: while one of them runs, no other
process runs any. They come last, since each has to wait for those that run, and holds up those that
come; slow ones come first. Without pytest-xdist there is nobody to wait for; on Windows, which has
no locks that can be shared, nobody waits.

Tests of a file in ``WHOLE_FILES`` run in one process, in their order; any others wherever there is
room.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

try:
    import fcntl
except ImportError:
    HAVE_LOCKS = False
else:
    HAVE_LOCKS = True


class Turns:
    """Locks in a folder that the processes have in common."""

    def __init__(self, folder: Path) -> None:
        self._queue = (folder / "queue").open("w")
        self._machine = (folder / "machine").open("w")

    def close(self) -> None:
        self._queue.close()
        self._machine.close()

    @contextlib.contextmanager
    def turn(self, alone: bool) -> Iterator[None]:
        """Wait for a turn, and have it during the block."""
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._machine, fcntl.LOCK_UN)


# This one counts what its tests have seen.
WHOLE_FILES = ("tests/differential/test_differential.py",)

TURNS = pytest.StashKey[Turns]()
FOLDER = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()


def pytest_configure(config: pytest.Config) -> None:
    if HAVE_LOCKS and hasattr(config, "workerinput"):
        config.stash[TURNS] = Turns(Path(config.workerinput["turns"]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process where the locks are."""
    if FOLDER not in node.config.stash:
        node.config.stash[FOLDER] = tempfile.TemporaryDirectory(prefix="turns-")
    node.workerinput["turns"] = node.config.stash[FOLDER].name


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For ``-n`` without ``--dist``."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(WHOLE_FILES) else nodeid

    return Scheduling(config, log)


def sort_for_processes(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what holds up others last, and what takes long first."""
    if TURNS in config.stash:
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.get_closest_marker("alone") is not None:
        return 2
    return 0 if item.get_closest_marker("slow") is not None else 1


def pytest_unconfigure(config: pytest.Config) -> None:
    if TURNS in config.stash:
        config.stash[TURNS].close()
    if FOLDER in config.stash:
        config.stash[FOLDER].cleanup()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """The limits of time of a test begin with its turn."""
    turns = item.config.stash.get(TURNS, None)
    if turns is None:
        return (yield)
    with turns.turn(item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Carry reports of tests that log what is no Unicode text."""
    return _without_surrogates((yield))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_without_surrogates, value))
    return value
