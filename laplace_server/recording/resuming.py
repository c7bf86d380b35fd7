"""Going on with a recording that is there: behind what its files have."""

from __future__ import annotations

from pathlib import Path

from laplace_server.recording.disk import is_claimed
from laplace_server.recording.part import Origin
from laplace_server.recording.part_names import marks_of, paths_of
from laplace_server.recording.reading import Recording
from laplace_server.recording.writing import Earlier


def resumed(path: Path) -> tuple[Earlier, dict[Origin, tuple[int, int]]]:
    """Return what there is of a recording, and epoch and number of each stream's last update.

    Raises:
        OSError, ValueError: it cannot be read, or another recorder still writes it.
    """
    paths = {marks_of(each)[1]: each for each in paths_of(path)}
    for each in paths.values():
        if is_claimed(each):
            raise OSError(f"{each} is still written by another recorder, which has to end first.")
    positions = {}
    with Recording(path) as recording:
        for server in recording.values():
            for stream in server.values():
                ledger = stream.ledger
                if ledger:
                    origin = Origin(server.address, stream.name)
                    positions[origin] = ledger[-1].epoch, ledger[-1].last
    recorded = marks_of(path)[0]
    assert recorded is not None
    return Earlier(recorded, paths), positions
