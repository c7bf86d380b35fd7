"""Many connections that ask nothing, from a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from benchmarks.common.native import compiled
from benchmarks.common.processes import Program, Server, allow_descriptors
from benchmarks.requests.work import Work, request_of

SPARE_DESCRIPTORS = 200
PATIENCE_S = 300.0


def possible(count: int) -> int:
    """Return how many of so many connections a server and a crowd may have on this system.

    Whoever starts afterwards may have them.
    """
    return min(count, allow_descriptors(count + SPARE_DESCRIPTORS) - SPARE_DESCRIPTORS)


class Crowd:
    """All have shaken hands."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def ask(self) -> None:
        """Let each ask once, one after the other, and get its reply."""
        self._program.tell("")
        line = self._program.told(PATIENCE_S)
        if line != "asked":
            raise RuntimeError(f"not all were answered: {line}")


@contextmanager
def crowd(server: Server, work: Work, count: int) -> Iterator[Crowd]:
    """Connect so many."""
    port = server.address.rsplit(":", 1)[-1]
    with closing(Program([compiled("crowd"), port, str(count)])) as program:
        program.tell(request_of(work).decode())
        program.expect_ready(PATIENCE_S)
        yield Crowd(program)
