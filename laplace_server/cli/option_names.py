"""What arguments of the package are called on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def options_named(**options: str) -> Iterator[None]:
    """Have the ValueErrors of a block speak of options, instead of arguments.

    Args:
        options: what each argument is called on the command line.
    """
    try:
        yield
    except ValueError as error:
        text = str(error)
        for argument, option in options.items():
            text = text.replace(f"'{argument}'", option)
        raise ValueError(text) from None
