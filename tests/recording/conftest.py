"""Recorders of the tests' servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.peers import PATIENCE_S, address_of

from laplace_server.client import ClientLHC

try:
    import hdf5plugin  # noqa: F401
except ImportError:  # where there are no wheels of it
    collect_ignore_glob = ["test_*.py"]
else:
    from laplace_server.recording import Recorder


@pytest.fixture
def record(tmp_path: Path, nothing_left_behind: None) -> Iterator[Callable[..., Any]]:
    """``record(server, "stream", server...)``: a recorder of them to run.h5, that has begun."""
    with contextlib.ExitStack() as ends:

        def begin(*sources: Any, path: Path = tmp_path / "run.h5", **options: Any) -> Any:
            wanted: list[Any] = []
            for each in sources:
                if isinstance(each, str):
                    wanted[-1] = (wanted[-1], each)
                    continue
                client = ClientLHC(address_of(each), timeout_s=PATIENCE_S)
                wanted.append(ends.enter_context(client))
            return ends.enter_context(Recorder(path, wanted, **options))

        yield begin
