"""What command lines here take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def above_zero(text: str) -> float:
    """Read a number above 0, so that something is done."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, is {text}")
    return number


def folder(text: str) -> Path:
    """Make a folder for the report now, not when all is done."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return path


def one_word(name: str) -> str:
    """Return a name as the command line takes it: tcp-secured."""
    return name.replace(", ", "-")


def add_names(
    parser: argparse.ArgumentParser, option: str, names: Sequence[str], what: str
) -> None:
    """Have an option take some of these names, each as one word."""
    words = {one_word(name): name for name in names}

    def read(text: str) -> str:
        if one_word(text) not in words:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(words)}")
        return words[one_word(text)]

    about = f"{what}, of {', '.join(words)} (default: all)"
    parser.add_argument(option, nargs="+", type=read, metavar="NAME", help=about)
