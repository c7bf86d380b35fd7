"""What a spawned process does: it must be importable there by name."""

from __future__ import annotations

from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event

from support.peers import PATIENCE_S
from support.serving import serving


def serve(answers: Queue[str], ended: Event) -> None:
    """Serve data, say where, and end when told."""
    with serving(data={"x": "spawned"}) as server:
        answers.put(server.address)
        ended.wait(PATIENCE_S)
