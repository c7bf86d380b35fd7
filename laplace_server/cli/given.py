"""Options that were given and would not be heeded."""

from __future__ import annotations

from collections.abc import Iterable

import typer


def refuse_given(context: typer.Context, names: Iterable[str], purpose: str) -> None:
    """Raise ValueError where a parameter was given on the command line: it is for something else.

    Who gives --keys should not believe that they are heeded.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ValueError(f"--{name.replace('_', '-')} is for {purpose}.")
