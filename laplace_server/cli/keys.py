"""keys new, list, trust, allow and revoke: the files that say who is who, and who may do what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laplace_server.cli.failures import fail, failures_told
from laplace_server.cli.requests import Address, AsJson
from laplace_server.cli.values import full_address

if TYPE_CHECKING:
    from laplace_server.security.rights import AllowedKey

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make keys, and say who may do what.",
)

_FOLDER = typer.Option("--folder", metavar="FOLDER", help="A server's folder of keys.")
ServerFolder = Annotated[Path, _FOLDER]
MaybeServerFolder = Annotated[
    Path | None,
    typer.Option(
        "--folder", metavar="FOLDER", help="A server's folder of keys; unless given, your own keys."
    ),
]
PublicFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A public key: a file that ends in .key.")
]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    folder: MaybeServerFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make a key.

    With --folder it is a server's, in a folder that is made for it.

    NAME.key_secret stays where it is; NAME.key is for the other side.
    """
    with failures_told():
        from laplace_server.security import folder as folders
        from laplace_server.security import own_keys
        from laplace_server.security.certificates import PUBLIC, write_pair

        several = ""
        if folder is None:
            own_keys.make_folders()
            made = write_pair(own_keys.keys_folder(), name)
            next_step = "Whoever runs the server needs"
            if len(names := own_keys.names()) > 1:
                several = (
                    f"\nYou have several keys now: {', '.join(names)}. Choose one by --key or "
                    f"{own_keys.ENVIRONMENT}, or move both files of one that is not used any more "
                    "elsewhere."
                )
        else:
            made = folders.make(folder, name)
            next_step = "The server's clients need"
        public_file = made.path.with_name(f"{name}{PUBLIC}")
        _print(
            as_json,
            {
                "name": name,
                "public_key": made.public_key,
                "public_file": str(public_file),
                "secret_file": str(made.path),
            },
            f"Made {made.path}. It stays there, for nobody else.\n"
            f"{next_step} {public_file}.{several}",
        )


@app.command("list")
def list_keys(folder: MaybeServerFolder = None, as_json: AsJson = False) -> None:
    """Show your keys and servers.

    With --folder: whom a server serves.
    """
    with failures_told():
        if folder is not None:
            _list_folder(folder, as_json)
            return
        from laplace_server.security import own_keys

        keys, wrong_keys = own_keys.own()
        servers, wrong_servers = own_keys.servers()
        _print(
            as_json,
            {"keys": keys, "servers": servers},
            "\n".join(
                [
                    f"Your keys, in {own_keys.keys_folder()}:",
                    *_table(keys),
                    "Servers you know:",
                    *_table(servers),
                ]
            ),
        )
        # Of both, where it is the folder that they are in.
        if problems := dict.fromkeys(map(str, [*wrong_keys, *wrong_servers])):
            fail("\n".join(problems))


@app.command("trust")
def trust(
    address: Address,
    file: PublicFile,
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of the key it was known by.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Know a server by its key.

    Commands find the key by the address.
    From then on, nothing is said to another server there, or without a key.
    """
    with failures_told():
        from laplace_server.security import own_keys

        where = own_keys.trust(full_address(address), file, replace)
        _print(
            as_json,
            {"address": full_address(address), "file": str(where)},
            f"The server at {full_address(address)} has to have this key from now on.",
        )


@app.command("allow")
def allow(
    file: PublicFile,
    role: Annotated[
        str, typer.Option(metavar="view|operate|admin", help="What it permits, or a role you made.")
    ],
    folder: ServerFolder,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the log calls it. Unless told: as the file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a server serve a client, or in another role.

    For a running server that counts within a second.
    """
    with failures_told():
        from laplace_server.security import folder as folders

        done = folders.allow(folder, file, role, name)
        key, before = done.key, done.before
        what = f"{key.name} {_may(key)}"
        if key == before:
            what = f"{what} already"
        elif before is not None:
            called = "" if before.name == key.name else f"{before.name}, "
            what = f"{what} from now on; until now: {called}{_role(before)}"
        _print(as_json, {"name": key.name, "role": role, "public_key": key.public_key}, f"{what}.")
        _warn_of_unknown_commands([key])


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of an allowed key.")],
    folder: ServerFolder,
    as_json: AsJson = False,
) -> None:
    """Have a server serve a client no more.

    A running server closes its connections within a second.
    """
    with failures_told():
        from laplace_server.security import folder as folders
        from laplace_server.security.survey import Survey

        removed = folders.revoke(folder, name)
        _print(
            as_json,
            {"name": name, "files": list(map(str, removed))},
            "\n".join(f"Removed {path}." for path in removed),
        )
        problem = Survey(folder).problem()
        if problem is not None:
            fail(f"that counts; but something else in {folder} is wrong, and does not: {problem}")


def _list_folder(folder: Path, as_json: bool) -> None:
    from laplace_server.security.survey import Survey

    found = Survey(folder)
    problem = found.problem()
    if problem is not None and found.own is None and not found.listed:
        raise problem
    own = found.own
    allowed = sorted(found.keys.values(), key=lambda key: key.name)
    rows = [(key.name, _role(key), key.public_key) for key in allowed]
    _print(
        as_json,
        {
            "server": None if own is None else {"name": own.name, "public_key": own.public_key},
            "allowed": [_as_values(key) for key in allowed],
        },
        "\n".join(
            [
                *([] if own is None else [f"The server is {own.name}  {own.public_key}"]),
                "Allowed:",
                *_columns(rows),
            ]
        ),
    )
    _warn_of_unknown_commands(allowed)
    if problem is not None:
        fail(str(problem))


def _as_values(key: AllowedKey) -> dict[str, Any]:
    values = {"name": key.name, "role": key.words(), "public_key": key.public_key}
    return values if isinstance(key.role, str) else {**values, "commands": sorted(key.role)}


def _role(key: AllowedKey) -> str:
    from laplace_server.security.roles import words_of

    return key.words() if isinstance(key.role, str) else f"{key.words()} ({words_of(key.role)})"


def _may(key: AllowedKey) -> str:
    return f"may {key.role}" if isinstance(key.role, str) else f"has the role {_role(key)}"


def _warn_of_unknown_commands(keys: list[AllowedKey]) -> None:
    """Say which commands of roles are not built in: a program's own, or a slip."""
    from laplace_server.wire.commands import COMMANDS

    told = set()
    for key in keys:
        unknown = () if isinstance(key.role, str) else sorted(key.role - COMMANDS.keys())
        if unknown and key.role not in told:
            told.add(key.role)
            typer.echo(
                f"laplace-server: the role {key.words()} permits {', '.join(map(repr, unknown))}, "
                "which no server knows unless its program has registered it. Built in are: "
                f"{', '.join(COMMANDS)}.",
                err=True,
            )


def _table(keys: dict[str, str]) -> list[str]:
    return _columns(list(keys.items()))


def _columns(rows: list[Any]) -> list[str]:
    """Return lines with columns as wide as they need to be."""
    if not rows:
        return ["  none"]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _print(as_json: bool, values: dict[str, Any], text: str) -> None:
    typer.echo(json.dumps(values) if as_json else text)
