"""--key: which key a command uses, if any, and the client that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from laplace_server.cli.failures import fail
from laplace_server.cli.values import check_seconds, full_address

if TYPE_CHECKING:
    from laplace_server.client import ClientLHC

KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="FILE|NAME",
        help="Your key. Unless told: $LAPLACE_KEY, or what 'keys list' shows for that server.",
    ),
]


def make_client(address: str, timeout_s: float, key: str | None) -> ClientLHC:
    """Make a command's client, with the keys for that server.

    Raises:
        ValueError: an argument is wrong.
        KeyFileError: a key is not as it has to be, or a wanted one is missing.
        ImportError: there is no libsodium.
    """
    from laplace_server.client import ClientLHC
    from laplace_server.security import ClientSecurity

    check_seconds("--timeout", timeout_s)
    where = full_address(address)
    security = ClientSecurity.find(where, key)
    return ClientLHC(where, name="laplace-server", timeout_s=timeout_s, security=security)


def client_of(address: str, timeout_s: float, key: str | None) -> ClientLHC:
    """Make a command's client as ``make_client`` does; exit where there is no libsodium."""
    try:
        return make_client(address, timeout_s, key)
    except ImportError as error:
        fail(str(error))
