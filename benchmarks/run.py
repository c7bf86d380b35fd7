"""Measures this package against 0.2.0, plain TCP, a bare echo and what a lab would use instead.

    python benchmarks/run.py            everything: JSON and a report with plots
    python benchmarks/run.py --short    the everyday questions in two minutes

One server is alive at a time. In every round each peer does the same work in turn, so ratios are
taken within a round, and the medians over the rounds with least and greatest are reported. Rows
whose keys begin with "stream_" are about streams, and have peers of their own. The rows and peers
of a suite stand in its ``rows.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run as the command line says."""
    # Not this folder, where names are as other libraries' (requests), and the checkout last: what
    # is installed goes before what lies there.
    here = Path(__file__).resolve().parent
    sys.path[:] = [*(entry for entry in sys.path if entry != str(here)), str(here.parent)]
    from benchmarks import command

    return command.main(__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
