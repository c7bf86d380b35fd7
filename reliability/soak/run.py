"""Runs a mixed load with restarts, and tells whether all ledgers add up and nothing grows.

    python reliability/soak/run.py --minutes 30 --seed 1 --output soak-report

Several servers, each with clients of both kinds and a prober, in processes of their own. Two are
never restarted; the memory, threads and descriptors of these and of their clients have to be flat.
The exit status is 1 where a promise was broken. The same seed chooses the same disturbances.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run as the command line says."""
    # Not this folder, and the checkout last: what is installed goes before what lies there.
    here = Path(__file__).resolve().parent
    sys.path[:] = [*(entry for entry in sys.path if entry != str(here)), str(here.parent.parent)]
    from reliability.soak import command

    return command.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
