"""Tests of servers run on each transport: ``pytest --transport=both``; on own TCP alone by default.

The transport is part of a test's id, ``test_bytes[tcp]``. Tests in ``FOLDERS`` are run so; a marker
says otherwise, for a test or a whole module:

- ``transports("tcp")``: only with this one;
- ``transports()``: it makes no server, or says itself which transport that has;
- ``transports("tcp", "libzmq")``: in other folders.

A fixture of a wider scope that makes a server takes the fixture ``transport``, so that it ends
where the tests change to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from laplace_server.server.transports import ENVIRONMENT_VARIABLE

ALL = ("tcp", "libzmq")
FOLDERS = ("cli", "client", "differential", "gather", "qt", "server", "streams")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transport",
        choices=(*ALL, "both"),
        default="tcp",
        help="the transport of the servers in tests (default: tcp)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each transport that it is for, all of one transport in a row."""
    marker = metafunc.definition.get_closest_marker("transports")
    folder = metafunc.definition.path.parent.name
    fit = marker.args if marker is not None else ALL if folder in FOLDERS else ()
    if not fit:
        return
    asked = metafunc.config.getoption("--transport")
    chosen = [name for name in ALL if asked in (name, "both")]
    skipped = pytest.mark.skip(reason=f"for the transport {' and '.join(fit)} only")
    values = [name if name in fit else pytest.param(name, marks=skipped) for name in chosen]
    metafunc.parametrize("transport", values, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The transport of servers that are told none, in child processes too; None: any."""
    name: str | None = getattr(request, "param", None)
    with pytest.MonkeyPatch.context() as patch:
        if name is not None:
            patch.setenv(ENVIRONMENT_VARIABLE, name)
        else:
            patch.delenv(ENVIRONMENT_VARIABLE, raising=False)
        yield name
