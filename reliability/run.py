"""Tries on purpose what networks, peers, programs and systems do, and tells what held.

    python reliability/run.py                       all scenarios: JSON and a table
    python reliability/run.py --list                their names
    python reliability/run.py --only restarts       those whose names begin so
    python reliability/run.py --other PYTHON        also against the release that this Python has

The exit status is 1 where a promise was broken.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run as the command line says."""
    # Not this folder, and the checkout last: what is installed goes before what lies there.
    here = Path(__file__).resolve().parent
    sys.path[:] = [*(entry for entry in sys.path if entry != str(here)), str(here.parent)]
    from reliability.chaos import command

    return command.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
