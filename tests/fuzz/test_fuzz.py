"""The inputs that searches have kept break nothing, by whatever compiler, and the runner works."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from fuzz.targets import HERE, NAMES, NATIVE_TARGETS, UPDATES, Target, corpus_of, inputs_of
from support.native_build import CORE, Builder, compiler, run
from support.sodium import libsodium

MOST_BYTES = 200 * 1024

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.transports(),
    pytest.mark.skipif(
        not CORE.exists(), reason="the sources of the core (csrc/) are not beside the tests"
    ),
]


def require_sodium(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tells the target where it is; skips the test where that is nowhere."""
    if not target.needs_sodium:
        return
    library = libsodium()
    if library is None:
        pytest.skip("pyzmq's libsodium is no file of its own")
    monkeypatch.setenv("LAPLACE_LIBSODIUM", os.fspath(library))


def check_told(output: str, name: str) -> None:
    """All that are kept were tried, and some came through."""
    told = re.search(r"^(\d+) inputs, (\d+) of them .*, nothing broken$", output, re.MULTILINE)
    assert told, output
    assert int(told[1]) >= len(inputs_of(name))
    assert int(told[2]) > 0


@pytest.mark.parametrize("name", NATIVE_TARGETS)
def test_what_was_kept_breaks_nothing(
    builder: Builder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    target = NATIVE_TARGETS[name]
    require_sodium(target, monkeypatch)
    program = tmp_path / name
    builder.build(program, [target.main, *target.sources], *builder.checking())
    check_told(run(program, target.corpus), name)


def test_what_was_kept_for_the_client_breaks_nothing() -> None:
    check_told(run(sys.executable, HERE / "updates_fuzz.py", corpus_of(UPDATES)), UPDATES)


@pytest.mark.parametrize("name", NAMES)
def test_corpora_are_small(name: str) -> None:
    inputs = inputs_of(name)
    assert inputs
    assert len(inputs) == len(set(inputs))
    assert corpus_of(name).stat().st_size < MOST_BYTES


def test_every_target_is_listed() -> None:
    targets = {path.stem for path in HERE.glob("*_fuzz.*")} - {"run_fuzz", "test_fuzz"}
    assert targets == {f"{name}_fuzz" for name in NAMES}
    assert {path.stem for path in (HERE / "corpora").iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", ["scan", UPDATES])
def test_a_search_of_a_second(name: str) -> None:
    """The runner, where there is no libFuzzer."""
    compiler()
    runner = HERE / "run_fuzz.py"
    output = run(sys.executable, runner, name, "--seconds", "1", "--engine", "standalone")
    assert f"{name}, 1 s" in output
    assert "nothing broken" in output


def test_a_find_is_told() -> None:
    """An input that breaks something is printed, and the status says so."""
    program = (
        "from fuzz import updates_fuzz\n"
        "def broken(*arguments): updates_fuzz.demand(False, 'as is tried here')\n"
        "updates_fuzz.Check.compare = broken\n"
        "try: updates_fuzz.check(bytes([7, 0]))\n"
        "except updates_fuzz.Broken as error: print(error)\n"
    )
    output = run(
        sys.executable, "-c", f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\n{program}"
    )
    assert "in hex: 0700" in output
    assert "as is tried here" in output
