"""A client in another process that measures how long it waits, whatever this process does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from support.isolated import Child

SCRIPT = """
import json, sys, time
from support.peers import Peer

client = Peer(sys.argv[1])
client.ask("PING")
print("ready", flush=True)
for line in sys.stdin:
    delay, seconds, *commands = json.loads(line)
    time.sleep(delay)
    waits, replies = [], []
    end = time.perf_counter() + seconds
    while not waits or time.perf_counter() < end:
        for cmd in commands:
            begin = time.perf_counter()
            replies.append(client.ask(cmd))
            waits.append(time.perf_counter() - begin)
    errors = sum(reply["error_msg"] is not None for reply in replies)
    print(json.dumps([len(waits), max(waits), errors, replies[0], replies[-1]]), flush=True)
"""


@dataclasses.dataclass
class Seen:
    answers: int
    longest_s: float
    errors: int
    first: dict[str, Any]
    last: dict[str, Any]


class Poller:
    def __init__(self, make_child: Callable[..., Child], port: str) -> None:
        self.child = make_child(SCRIPT, f"tcp://127.0.0.1:{int(port)}")
        assert self.child.hear() == "ready"

    def begin(self, seconds: float, *commands: str, delay_s: float = 0.0) -> None:
        """Send these commands one after another, for so long (at least once).

        ``delay_s`` is time to take the GIL first: who holds it cannot say that he does.
        """
        self.child.tell(json.dumps([delay_s, seconds, *commands]))

    def result(self) -> Seen:
        return Seen(*json.loads(self.child.hear()))
