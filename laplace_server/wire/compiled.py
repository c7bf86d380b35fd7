"""What to say where a compiled module is missing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def explain_missing(module: str, error: ImportError) -> ImportError:
    """Return what to raise where ``module`` could not be imported: ``error`` if it is there."""
    if find_spec(module) is not None:
        return error
    clone = Path(__file__).parents[1]
    return ImportError(
        f"the compiled module {module} is not built for this Python in {clone}. "
        "Is that a clone of the repository? To use the installed package, start Python in another "
        "folder; to build the module in the clone: pip install -e ."
    )
