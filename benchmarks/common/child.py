"""Calls ``main`` of a module of the benchmarks in this process, as ``processes.python`` asks.

    python child.py MODULE ARGUMENT...

What goes wrong is told as a line of JSON: {"error": ...}.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Run as the command line says."""
    # Not this folder, and the checkout last: what is installed goes before what lies there.
    here = Path(__file__).resolve().parent
    sys.path[:] = [*(entry for entry in sys.path if entry != str(here)), str(here.parent.parent)]
    module, *arguments = sys.argv[1:]
    try:
        importlib.import_module(module).main(*arguments)
    except Exception as fault:
        print(json.dumps({"error": f"{type(fault).__name__}: {fault}"}), flush=True)
    # Several of the peers, the original among them, do not end in an orderly way.
    os._exit(0)


if __name__ == "__main__":
    main()
