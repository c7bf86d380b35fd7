"""Calls ``main`` of a role in this process: ``python child.py MODULE SETTINGS``.

SETTINGS is a file of JSON; ``main`` gets what it holds.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    """Run as the command line says."""
    here = Path(__file__).resolve().parent
    sys.path[:] = [*(entry for entry in sys.path if entry != str(here)), str(here.parent)]
    module, settings = sys.argv[1:]
    importlib.import_module(module).main(json.loads(Path(settings).read_text()))


if __name__ == "__main__":
    main()
