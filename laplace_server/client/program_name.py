"""What a client is called that was given no name."""

from __future__ import annotations

import os
import sys


def program_name() -> str:
    """Return the file name of the program that runs; of a package run by ``-m``, the package's.

    It is "python" where there is no file: an interactive Python, ``-c``, an embedded one.
    """
    path = next(iter(getattr(sys, "argv", None) or ()), "")
    folder, name = os.path.split(path)
    if name == "__main__.py":
        name = os.path.basename(folder)
    if not name or path.startswith("-"):
        return "python"
    # A file's name may hold bytes that are no text; what servers log and show is.
    return name.encode(errors="replace").decode()
