"""Which folder of the core may include which: lower ones know nothing of higher ones."""

from __future__ import annotations

import re

import pytest
from support.paths import CHECKOUT

CORE = CHECKOUT / "csrc"
# Beside itself. Requests and streams need not know one another.
MAY_INCLUDE = {
    "base": set(),
    "crypto": set(),
    "zmtp": {"base", "crypto"},
    "tcp": {"base"},
    "client": {"base", "crypto", "tcp", "zmtp"},
    "transport": {"base", "crypto", "tcp", "zmtp"},
    "documents": {"base"},
    "requests": {"base", "transport", "documents"},
    "streams": {"base", "transport"},
    "server": {"base", "transport", "documents", "requests", "streams"},
}
INCLUDE = re.compile(r'^#include "(\w+)/\w+\.h"', re.MULTILINE)

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(
        not CORE.exists(), reason="the sources of the core (csrc/) are not beside the tests"
    ),
]


def includes_of(folder: str) -> set[str]:
    sources = [path for path in (CORE / folder).iterdir() if path.suffix in (".h", ".cpp")]
    assert sources
    return {each for path in sources for each in INCLUDE.findall(path.read_text())}


def test_every_folder_is_listed() -> None:
    folders = {path.name for path in CORE.iterdir() if path.is_dir()}
    assert folders == {*MAY_INCLUDE, "python"}


@pytest.mark.parametrize("folder", MAY_INCLUDE)
def test_only_lower_folders_are_included(folder: str) -> None:
    assert includes_of(folder) - {folder} <= MAY_INCLUDE[folder]


def test_no_file_is_long() -> None:
    files = [path for path in CORE.rglob("*") if path.is_file()]
    assert [str(path) for path in files if len(path.read_text().splitlines()) > 500] == []


def test_headers_say_whose_they_are() -> None:
    """Two headers with one guard would hide each other."""
    guards = [
        re.search(r"^#ifndef (\w+)", path.read_text(), re.MULTILINE) for path in CORE.rglob("*.h")
    ]
    names = [guard[1] for guard in guards if guard is not None]
    assert len(names) == len(guards) == len(set(names))
