"""What tests do with the calls of a ClientBridge."""

from __future__ import annotations

from typing import Any

from support.peers import PATIENCE_S
from support.qt import spin


def result(call: Any, within_s: float = PATIENCE_S) -> Any:
    """Let the event loop run until a call has ended; what it was answered, or its error, raised."""
    spin(lambda: call.done, within_s)
    assert not call.cancelled, call
    if call.error is not None:
        raise call.error
    return call.value


def ended(*calls: Any) -> None:
    """Let the event loop run until the calls have told all they will, each its ``ended``."""
    heard: list[Any] = []
    for call in calls:
        call.ended.connect(lambda call=call: heard.append(call))
    spin(lambda: len(heard) == len(calls))


class Heard:
    """What the signals of calls say, in the order in which they come."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def listen(self, call: Any, label: Any = None) -> Any:
        """Write down what a call says under its label, or its method; return the call."""
        name = call.method if label is None else label
        call.answered.connect(lambda value: self.said.append((name, "answered", value)))
        call.failed.connect(lambda error: self.said.append((name, "failed", error)))
        call.ended.connect(lambda: self.said.append((name, "ended")))
        return call

    def order(self, what: str = "ended") -> list[Any]:
        """The labels of those that have said it."""
        return [label for label, said, *_ in self.said if said == what]
