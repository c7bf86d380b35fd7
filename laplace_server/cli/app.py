"""The typer application: global options, and which module holds which command."""

from __future__ import annotations

from typing import Annotated

import typer

from laplace_server.cli import (
    call,
    check,
    demo,
    keys,
    moves,
    record,
    relay,
    replay,
    requests,
    serve,
    stream,
)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Servers of lab devices: try them, run a simulated one, ask any of them.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from laplace_server import __version__

        typer.echo(f"laplace-server {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Nothing happens here but --version, in its callback."""


app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
requests.add_commands(app)
moves.add_commands(app)
app.command("call")(call.call)
app.command("stream")(stream.stream)
app.command("record")(record.record)
app.command("replay")(replay.replay)
app.command("relay")(relay.relay)
app.command("check", cls=check.CheckCommand)(check.check)
app.add_typer(keys.app, name="keys")
