"""Examples that run while a test does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.examples import Example, Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start an example by its file's name; all are ended with the test."""
    started: list[Example] = []

    def run(file: str, *args: str) -> Example:
        started.append(Example(file, *args, folder=tmp_path))
        return started[-1]

    yield run
    for example in started:
        example.clean_up()
