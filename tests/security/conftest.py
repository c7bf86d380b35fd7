"""Keys in folders of their own: nothing of the user who runs the tests is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.keys import Pair, at_home, new_pair


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this package in the configuration of a user who has nothing yet."""
    for name, value in at_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LAPLACE_KEY", raising=False)
    from laplace_server.security.own_keys import user_folder

    assert tmp_path in user_folder().parents
    return user_folder()


@pytest.fixture
def anna() -> Pair:
    return new_pair()


@pytest.fixture
def stage() -> Pair:
    return new_pair()
