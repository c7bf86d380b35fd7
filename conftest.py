"""Tests run against the installed package, also when they start in a checkout.

The checkout holds the package's folder without its compiled module. Python would find that folder
first wherever the current directory is on the import path: under ``python -m pytest``, and in the
processes that tests start (``python -m laplace_server``).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent
PACKAGE = CHECKOUT / "laplace_server"

# An editable install and `setup.py build_ext --inplace` put it there; then the folder is complete.
CORE = PACKAGE / "server" / "_core"
BUILT_IN_PLACE = any(CORE.with_suffix(suffix).exists() for suffix in EXTENSION_SUFFIXES)

if not BUILT_IN_PLACE:
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != CHECKOUT]


def _origin() -> str | None:
    spec = importlib.util.find_spec("laplace_server")
    return None if spec is None else spec.origin


def pytest_configure() -> None:
    origin = _origin()
    if origin is None:
        raise pytest.UsageError("laplace-server is not installed: pip install '.[test]'")
    wanted = os.environ.get("LAPLACE_TEST_INSTALLED") == "1"
    if wanted and "site-packages" not in Path(origin).parts:
        raise pytest.UsageError(f"LAPLACE_TEST_INSTALLED=1, but the package is at {origin}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Let threads take turns more often than they do by themselves.

    LAPLACE_TEST_SWITCH_INTERVAL: after so many seconds. LAPLACE_TEST_COLLECTIONS: whenever so many
    objects were made, and Python looks for garbage; before 3.12 it does so in the midst of things.
    Meanwhile gc.collect() does nothing, so now and then a test fails that counts on it.
    """
    interval = os.environ.get("LAPLACE_TEST_SWITCH_INTERVAL")
    if interval:
        sys.setswitchinterval(float(interval))
    objects = os.environ.get("LAPLACE_TEST_COLLECTIONS")
    if objects:
        gc.set_threshold(int(objects), 2, 1000)
        gc.callbacks.append(lambda *_: time.sleep(0))  # gives the GIL away


def pytest_report_header() -> str:
    flags = ", development mode" if sys.flags.dev_mode else ""
    return (
        f"laplace_server: {_origin()}, switch interval {sys.getswitchinterval():g} s, "
        f"garbage collected after {gc.get_threshold()[0]} objects{flags}"
    )


@pytest.fixture(scope="session", autouse=True)
def outside_the_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run all tests in a folder of their own, which child processes inherit.

    They are not to colour what tests read, wherever that is asked for.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "MYPY_FORCE_COLOR", "TTY_COMPATIBLE"):
            patch.delenv(name, raising=False)
        paths = os.environ.get("PYTHONPATH")
        if paths:
            absolute = [str(Path(entry).resolve()) for entry in paths.split(os.pathsep) if entry]
            patch.setenv("PYTHONPATH", os.pathsep.join(absolute))
        patch.chdir(tmp_path_factory.mktemp("outside"))
        yield
