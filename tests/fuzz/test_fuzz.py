"""The inputs that searches have kept break nothing, by whatever compiler, and the runner works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz.run_fuzz import MOST_KEPT
from fuzz.targets import HERE, NAMES, NATIVE_TARGETS, TESTS, UPDATES, Target, corpus_of, inputs_of
from support.machine import WINDOWS
from support.native_build import CORE, Builder, compiler, run
from support.sodium import libsodium

MOST_BYTES = 200 * 1024

KILLED = """
#include "fuzz/engine.h"

static bool check(const char* data, size_t) {
    if (data[0] == 1) *static_cast<volatile char*>(nullptr) = 1;
    return true;
}

fuzz_engine::Target fuzz_engine::target() { return {check, "taken", {"a"}, {}}; }
"""

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


def search(runner: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run the runner; its exit status, and what it says."""
    done = subprocess.run(
        [sys.executable, runner, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout


def test_a_find_goes_into_a_full_corpus(tmp_path: Path) -> None:
    for folder in ("fuzz", "support"):
        shutil.copytree(TESTS / folder, tmp_path / folder)
    target = tmp_path / "fuzz" / "updates_fuzz.py"
    rule = "demand(len(keys) == len(set(keys))"
    assert rule in target.read_text()
    target.write_text(target.read_text().replace(rule, "demand(not keys"))
    corpus = tmp_path / "fuzz" / "corpora" / f"{UPDATES}.txt"
    harmless = "06" * MOST_KEPT
    corpus.write_text(harmless)
    runner = tmp_path / "fuzz" / "run_fuzz.py"
    status, told = search(runner, UPDATES, "--seconds", "30", "--merge", "--found", f"{tmp_path}/f")
    assert status == 1, told
    assert f"{UPDATES}: added to its corpus, as they break it: 1" in told
    assert f"{UPDATES}: --found is of no use, this search is not guided" in told
    find = re.search(r"in hex: ([0-9a-f]+)$", told, re.MULTILINE)
    assert find, told
    assert corpus.read_text().split() == [find[1], harmless]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seconds", "0"], "argument --seconds: must be 1 or more, is 0"),
        (["--seconds", "-5"], "argument --seconds: must be 1 or more, is -5"),
        (["--lanes", "0"], "argument --lanes: must be 1 or more, is 0"),
        (["--found", f"{__file__}/folder"], "argument --found: "),
    ],
)
def test_wrong_arguments(arguments: list[str], words: str) -> None:
    status, told = search(HERE / "run_fuzz.py", "scan", *arguments)
    assert (status, words in told) == (2, True), told


@pytest.mark.skipif(WINDOWS, reason="a script in the compiler's place")
def test_what_a_compiler_says_is_told(tmp_path: Path) -> None:
    script = tmp_path / "cxx"
    script.write_text("#!/bin/sh\necho scan.cpp:1: expected expression\nexit 1\n")
    script.chmod(0o700)
    status, told = search(
        HERE / "run_fuzz.py", "scan", "--seconds", "1", CXX=str(script), PATH=str(tmp_path)
    )
    assert status == 2
    assert f"{script} cannot build it:\nscan.cpp:1: expected expression" in told


def test_what_kills_a_target_is_told(builder: Builder, tmp_path: Path) -> None:
    """The input, too, by whatever it is killed."""
    source = tmp_path / "killed_fuzz.cpp"
    source.write_text(KILLED)
    corpus = tmp_path / "corpus"
    corpus.write_text("00\n01ff\n")
    for flags in ([], builder.checking()):
        program = tmp_path / f"killed{len(flags)}"
        builder.build(program, [source], *flags)
        done = subprocess.run([program, corpus], capture_output=True, text=True, timeout=100)
        assert done.returncode != 0
        assert "input, 2 bytes in hex: 01ff" in done.stderr


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
