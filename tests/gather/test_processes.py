"""A source whose process is killed, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.both_clients import Kind
from support.isolated import Child
from support.machine import within
from support.peers import PATIENCE_S
from support.ports import own_address
from support.waiting import wait_until

SCRIPT = """
import sys
from laplace_server import ServerLHC

server = ServerLHC("apart", sys.argv[1], 0, "SHOT")
server.declare_stream("s")
server.start()
print("ready", flush=True)
for line in sys.stdin:
    print(server.publish("s", {"shot": int(line)}), flush=True)
"""


def test_what_a_killed_process_leaves_open(
    devices: Any,
    gathering: Callable[..., Any],
    kind: Kind,
    make_child: Callable[..., Child],
) -> None:
    address = own_address()

    def served() -> Child:
        child = make_child(SCRIPT, address)
        assert child.hear() == "ready"
        return child

    def shoot(child: Child, *keys: int) -> None:
        for key in keys:
            child.tell(str(key))
            child.hear()

    def told() -> tuple[int, str, dict[str, str]]:
        record = gathered.next(PATIENCE_S)
        return record.key, "".join(record.updates), dict(record.missing)

    def trouble() -> str | None:
        return gathered.stats()["b"].trouble  # type: ignore[no-any-return]

    devices.add("a")
    with kind(address, timeout_s=PATIENCE_S) as client:
        devices.sources["b"] = (client, "s")
        child = served()
        gathered = gathering(wait_s=within(2))
        devices.publish("a", 1, 2)
        shoot(child, 1, 2)
        assert [told(), told()] == [(1, "ab", {}), (2, "ab", {})]

        child.process.kill()
        child.process.wait()
        wait_until(lambda: trouble() is not None, "it is known to be gone")
        devices.publish("a", 3)
        assert told() == (3, "a", {"b": "gone"})
        devices.publish("a", 4)
        assert told() == (4, "a", {"b": "gone"})  # at once

        child = served()
        wait_until(lambda: trouble() is None, "it is followed again")
        devices.publish("a", 5, 6)
        shoot(child, 6)
        # Nobody knows what the killed one had published last.
        assert [told(), told()] == [(5, "a", {"b": "lost"}), (6, "ab", {})]
        assert gathered.stats()["b"].gathered == 3
