"""How the tests of servers are run on each transport."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.isolated import environment
from support.paths import TESTS
from support.transports import FOLDERS

MODULE = """
    import os

    import pytest

    MADE = []

    @pytest.fixture(scope="module")
    def server(transport):
        MADE.append(transport)
        yield transport
        MADE.append("end")

    @pytest.mark.parametrize("number", [1, 2])
    def test_it(server, number):
        assert server == os.environ["LAPLACE_TRANSPORT"]
        print("RUN", server, number, *MADE)

    @pytest.mark.transports("tcp")
    def test_own(transport):
        print("RUN own", transport)

    @pytest.mark.transports()
    def test_none(transport):
        assert transport is None
        assert "LAPLACE_TRANSPORT" not in os.environ
        print("RUN none")
"""


def lines_of(tmp_path: Path, folder: str, *options: str) -> list[str]:
    """Run a module of tests in a folder of that name; what the tests printed."""
    tests = tmp_path / "tests"
    (tests / folder).mkdir(parents=True)
    (tests / "conftest.py").write_text(
        "from support.transports import pytest_addoption, pytest_generate_tests, transport\n"
    )
    (tests / folder / "test_it.py").write_text(textwrap.dedent(MODULE))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = transports(*names)\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", *options, "tests"],
        cwd=tmp_path,
        env=environment(LAPLACE_TRANSPORT="nonsense"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line[line.index("RUN") + 4 :] for line in done.stdout.splitlines() if "RUN" in line]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], ["tcp 1 tcp", "tcp 2 tcp", "own tcp", "none"]),
        (["--transport=libzmq"], ["libzmq 1 libzmq", "libzmq 2 libzmq", "none"]),
        (
            ["--transport=both"],
            [
                *("tcp 1 tcp", "tcp 2 tcp", "own tcp"),
                *("libzmq 1 tcp end libzmq", "libzmq 2 tcp end libzmq", "none"),
            ],
        ),
    ],
    ids=["default", "libzmq", "both"],
)
def test_tests_of_one_transport_follow_one_another(
    tmp_path: Path, options: list[str], wanted: list[str]
) -> None:
    assert lines_of(tmp_path, "server", *options) == wanted


def test_every_folder_of_socket_tests_is_there() -> None:
    assert all((TESTS / folder).is_dir() for folder in FOLDERS)
