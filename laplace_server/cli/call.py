"""call: a method of a device, its result on stdout."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from laplace_server.cli.failures import failures_told
from laplace_server.cli.key_option import KeyOption, client_of
from laplace_server.cli.requests import Address, AsJson, Timeout
from laplace_server.cli.shown import printable
from laplace_server.cli.values import as_lines, read_arguments

Method = Annotated[
    str, typer.Argument(metavar="METHOD", help="Its name; 'info' lists those of a device.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=VALUE]...",
        help='JSON values: axis=0 on=true names=["x"]; what is no JSON is a text.',
    ),
]


def call(
    address: Address,
    method: Method,
    arguments: Arguments = None,
    as_json: AsJson = False,
    timeout: Timeout = 2.0,
    key: KeyOption = None,
) -> None:
    """Call a method of a device.

    A text that is JSON as well is quoted twice: 'name="7"'.
    """
    with failures_told(), client_of(address, timeout, key) as client:
        result = client.call(method, **read_arguments(arguments or []))
        typer.echo(json.dumps(result) if as_json else _text_of(result, method))


def _text_of(result: Any, method: str) -> str:
    if result is None:
        return f"{method} is done."
    if isinstance(result, str):
        return printable(result)
    return as_lines(result) if isinstance(result, dict) else json.dumps(result)
