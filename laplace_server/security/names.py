"""Names of keys: they are names of files, and stand in logs."""

from __future__ import annotations

import re

from laplace_server.security.keys import is_text_of_key

# Windows has devices of some names, whatever ending and folder they are given.
_DEVICE = r"(?i:con|prn|aux|nul|com\d|lpt\d)(\.|$)"
_NAME = re.compile(rf"(?!{_DEVICE})\w([\w.@ -]{{0,62}}[\w@-])?")


def checked_name(name: object) -> str:
    """Return the name of a key.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(name, str):
        raise TypeError(f"The name of a key is text, not {type(name).__name__}.")
    if _NAME.fullmatch(name) is None:
        if is_text_of_key(name):  # it might be a secret, and must not show
            raise ValueError("The text of a key was given where the name of a key is expected.")
        raise ValueError(
            f"{name!r} cannot be the name of a key: up to 64 letters, digits, and, between them, "
            "'.', '-', '_', '@' or blanks; and no device of Windows."
        )
    return name
