"""The same bytes to the original and to this package: the answers and the callbacks must be equal.

Both run in processes of their own. Differences on purpose are in `differential/differences.py`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zmq
from differential import data_cases, differences, frames
from differential.describe import describe
from differential.peers import Frames, Outcome, ServerProcess
from differential.random_frames import random_frame
from hypothesis import HealthCheck, given, settings
from support.machine import within
from support.original import require_original

from laplace_server import protocol

EXERCISED: set[str] = set()
PING = frames.envelope()
GET = frames.envelope(cmd='"GET"')
INFO = frames.envelope(cmd='"INFO"')


@dataclass
class Pair:
    """The original and ours, configured alike."""

    theirs: ServerProcess
    ours: ServerProcess
    name: str = "device"

    def both(self, *request: bytes) -> tuple[Outcome, Outcome]:
        """Send one request to both; the waits overlap."""
        self.theirs.send(list(request))
        self.ours.send(list(request))
        return self.theirs.outcome(), self.ours.outcome()

    def compare(self, *request: bytes) -> None:
        """Send one request to both and check that we do as the original does, or as promised."""
        theirs, ours = self.both(*request)
        if theirs.reply is None:
            assert not theirs.alive, "the original is silent but lives"
            self.theirs.restart()
            self.check_deadly(list(request), ours)
            return
        assert len(theirs.reply) == 1
        theirs_parsed = differences.Answer(json.loads(theirs.reply[0]), theirs.events)
        ours_parsed = differences.Answer(parsed(ours), ours.events)
        asked = differences.Request(json.loads(request[0]), self.theirs.has_callbacks)
        expected, applied = differences.promised(asked, theirs_parsed, ours_parsed)
        assert describe(ours_parsed.reply) == describe(expected.reply)
        assert ours_parsed.events == expected.events
        EXERCISED.update(applied)

    def check_deadly(self, request: Frames, ours: Outcome) -> None:
        """Check that we answer what ended the original with an error and go on."""
        differences.check_error_to_deadly(request, parsed(ours), self.name)
        assert ours.events == []
        assert parsed(self.ours.request(PING))["payload"] == {"PING": "PONG"}
        EXERCISED.add(differences.DEADLY[differences.cause_of_death(request)])

    def ask(self, what: str, **order: Any) -> None:
        """Have both servers' programs do the same, with the same result."""
        assert self.ours.ask(what, **order) == self.theirs.ask(what, **order)


def parsed(outcome: Outcome) -> Any:
    assert outcome.reply is not None, f"no answer; the server's thread alive: {outcome.alive}"
    assert len(outcome.reply) == 1
    return json.loads(outcome.reply[0])


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Not checked here: the servers of this module start when a test first asks for them."""


@pytest.fixture(scope="module")
def original() -> Path:
    return require_original()


@pytest.fixture(scope="module")
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context = zmq.Context()
    yield context
    context.term()


@contextlib.contextmanager
def pair(context: zmq.Context[zmq.Socket[bytes]], original: Path, **server: Any) -> Iterator[Pair]:
    """Run a pair of servers; both processes must end by themselves, with status 0."""
    with contextlib.ExitStack() as stack:
        processes = []
        for folder in (original, None):
            process = ServerProcess(context, folder, **server)
            stack.callback(process.kill)
            processes.append(process)
        theirs, ours = processes
        assert theirs.version == "0.2.0"
        assert original in theirs.origin.parents
        assert original not in ours.origin.parents
        yield Pair(theirs, ours, server.get("name", "device"))
        assert theirs.end() == 0
        assert ours.end() == 0, ours.complaints()


@pytest.fixture(scope="module", params=["none", "recording", "raising"])
def any_pair(
    request: pytest.FixtureRequest,
    context: zmq.Context[zmq.Socket[bytes]],
    original: Path,
    transport: str,
) -> Iterator[Pair]:
    kind = request.param
    # A log that is written must not change an answer, nor must the way of setting callbacks.
    level = "DEBUG" if kind == "recording" else "WARNING"
    assign = kind == "raising"
    with pair(context, original, callbacks=kind, log_level=level, assign=assign) as servers:
        yield servers


@pytest.fixture(scope="module")
def recording_pair(
    context: zmq.Context[zmq.Socket[bytes]], original: Path, transport: str
) -> Iterator[Pair]:
    with pair(context, original, callbacks="recording") as servers:
        yield servers


def run_all(servers: Pair, requests: Iterator[tuple[str, Frames]], deadly: bool) -> None:
    """Compare all of them and fail with the first few that differ."""
    failures = []
    for name, request in requests:
        try:
            if deadly:
                theirs, ours = servers.both(*request)
                assert theirs.reply is None, "the original lives"
                assert not theirs.alive
                servers.theirs.restart()
                servers.check_deadly(request, ours)
            else:
                servers.compare(*request)
        except AssertionError as error:
            failures.append(f"{name}: {str(request)[:300]}\n{error}")
        if len(failures) == 10:
            break
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)


def test_requests_that_the_original_answers(any_pair: Pair) -> None:
    run_all(any_pair, ((name, [frame]) for name, frame in frames.answered()), deadly=False)


def test_requests_of_which_the_original_dies(recording_pair: Pair) -> None:
    run_all(recording_pair, frames.lethal(), deadly=True)


# The servers are shared on purpose: what one request leaves behind must not change the next.
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frame=random_frame())
def test_random_requests(recording_pair: Pair, frame: bytes) -> None:
    recording_pair.compare(frame)


@pytest.mark.parametrize("depth", [900, 980, 1000, 1023, 1024, 1025, 3_000, 20_000])
def test_nesting_near_the_limits(recording_pair: Pair, depth: int) -> None:
    """How deep Python reads depends on its version: up to there we agree, beyond it we answer."""
    deep = "[" * depth + "]" * depth
    for request in (frames.envelope(payload=deep), frames.envelope(cmd='"SAVE"', payload=deep)):
        theirs, ours = recording_pair.both(request)
        reply = parsed(ours)
        if theirs.reply is None:
            recording_pair.theirs.restart()
        elif depth <= 900:
            assert describe(reply) == describe(parsed(theirs))
        assert ours.events == []
        assert reply["to"] in ("me", "UNKNOWN")
        assert (reply["payload"] == {"PING": "PONG"}) == (reply["error_msg"] is None)
        recording_pair.compare(PING)


def test_data_of_every_sort(any_pair: Pair) -> None:
    for case in data_cases.DATA:
        theirs = any_pair.theirs.ask("set_data", case=case)
        assert any_pair.ours.ask("set_data", case=case) == {"raised": None}, case
        if case in data_cases.UNSORTABLE:
            assert theirs == {"raised": "TypeError"}
            EXERCISED.add("set_data takes keys that cannot be sorted")
        else:
            assert theirs == {"raised": None}
        # Twice, since the first answer may be made in another way than the next ones.
        for _ in range(2):
            any_pair.compare(GET)
    any_pair.ask("empty_data")
    any_pair.compare(GET)


@pytest.mark.parametrize("case", data_cases.REFUSED)
def test_data_that_is_no_dict(recording_pair: Pair, case: str) -> None:
    recording_pair.ask("set_data", case="initial")
    recording_pair.compare(GET)
    recording_pair.theirs.ask("set_data", case=case)
    assert recording_pair.ours.ask("set_data", case=case) == {"raised": "TypeError"}
    theirs, ours = recording_pair.both(GET)
    assert theirs.reply is None
    assert not theirs.alive
    assert parsed(ours)["payload"] == {"data": data_cases.DATA["initial"]}
    recording_pair.theirs.restart()
    EXERCISED.add("set_data refuses what is no dict")


@pytest.mark.parametrize("case", [*data_cases.UNSENDABLE, *data_cases.TAKEN])
def test_data_that_cannot_be_sent(recording_pair: Pair, case: str) -> None:
    recording_pair.theirs.ask("set_data", case=case)
    assert recording_pair.ours.ask("set_data", case=case) == {"raised": None}
    theirs, ours = recording_pair.both(GET)
    assert theirs.reply is None
    assert not theirs.alive
    recording_pair.theirs.restart()
    if case in data_cases.TAKEN:
        assert parsed(ours)["payload"] == {"data": data_cases.READ[case]}
        EXERCISED.add("sets, paths and complex numbers are sent")
    else:
        assert parsed(ours)["error_msg"].startswith("data")
        EXERCISED.add("data that cannot be sent is an error in GET")


def test_data_set_by_on_get(context: zmq.Context[zmq.Socket[bytes]], original: Path) -> None:
    with pair(context, original, callbacks="setting") as servers:
        for _ in range(20):
            servers.compare(GET)
            servers.compare(PING)


@pytest.mark.parametrize("callbacks", ["none", "recording", "setting"])
def test_data_emptied_after_get(
    context: zmq.Context[zmq.Socket[bytes]], original: Path, callbacks: str
) -> None:
    with pair(context, original, callbacks=callbacks, empty_data_after_get=True) as servers:
        for case in ("scalars", "NaN and infinities", "integer keys", "long list", "empty"):
            servers.ask("set_data", case=case)
            servers.compare(INFO)
            for _ in range(3):
                servers.compare(GET)
                # The original empties after its reply has left; the PING waits for that.
                servers.compare(PING)
        servers.ask("set_data", case="initial")
        servers.ask("set_data", case="Unicode")
        servers.compare(GET)
        servers.compare(PING)
        servers.ask("set_data", case="initial")
        servers.ask("empty_data")
        servers.compare(GET)


def test_info_shows_what_is_now_and_stop_ends(
    context: zmq.Context[zmq.Socket[bytes]], original: Path
) -> None:
    lists = {"name_list": ["x", "é"], "plottables_list": ["p"]}
    name = 'a "name" \ud800é'
    with pair(context, original, name=name, device="CAMERA", **lists) as servers:
        servers.compare(INFO)
        for change in ("lists", "names", "attributes"):
            servers.ask(change)
            servers.compare(INFO)
        servers.compare(frames.envelope(cmd='"NOPE"'))
        servers.compare(frames.envelope("payload", cmd='"STOP"'))
        servers.compare(PING)
        servers.compare(frames.envelope(cmd='"STOP"', from_='["é", 1e400]', payload="null"))
        assert not servers.theirs.alive(wait_s=within(3))
        assert not servers.ours.alive(wait_s=within(3))


@pytest.fixture(scope="module")
def handler_pair(
    context: zmq.Context[zmq.Socket[bytes]], original: Path, transport: str
) -> Iterator[Pair]:
    with pair(context, original, callbacks="recording", handlers=True) as servers:
        yield servers


@pytest.mark.parametrize("target", ['"me"', '["é\\ud800", NaN]', "12345678901234567890123"])
@pytest.mark.parametrize(
    "cmd",
    [
        *("ECHO", "é CUSTOM", "LIST", "TEXT", "BYTES", "BUILDER", "RETURN", 5, 5.0),
        # Replaced, taken out and left alone.
        *("PING", "SAVE", "OPT", "GET"),
    ],
)
def test_handlers_in_the_old_style(handler_pair: Pair, cmd: str | float, target: str) -> None:
    payload = '{"a": 1e400, "b": [12345678901234567890123, -0.0]}'
    request = frames.envelope(cmd=json.dumps(cmd), from_=target, payload=payload, extra='"\\ud800"')
    theirs, ours = handler_pair.both(request)
    assert theirs.reply is not None
    assert ours.reply is not None
    if cmd in ("TEXT", "BYTES"):
        assert ours.reply == theirs.reply
    else:
        assert describe(parsed(ours)) == describe(parsed(theirs))
    assert ours.events == theirs.events


@pytest.mark.parametrize(
    ("cmd", "difference"),
    [
        ("EXCEPTION", "a handler that raises gets an error sent"),
        ("OBJECT", "a handler that raises gets an error sent"),
        ("NOTHING", "a handler that sends nothing gets an empty reply sent"),
    ],
)
def test_handlers_that_leave_the_original_silent(
    handler_pair: Pair, cmd: str, difference: str
) -> None:
    request = frames.envelope(cmd=json.dumps(cmd))
    assert handler_pair.theirs.request(request, timeout_s=0.3).reply is None
    handler_pair.theirs.restart()
    reply = parsed(handler_pair.ours.request(request))
    if cmd == "NOTHING":
        expected = protocol.make_message(cmd=cmd, sender="device", target="me", msg=reply["msg"])
    else:
        assert reply["error_msg"]
        expected = protocol.make_error("device", "me", cmd=cmd, error_msg=reply["error_msg"])
    assert describe(reply) == describe(expected)
    handler_pair.compare(GET)
    EXERCISED.add(difference)


def test_handlers_that_send_twice(handler_pair: Pair) -> None:
    theirs, ours = handler_pair.both(frames.envelope(cmd='"TWICE"'))
    assert parsed(theirs) == parsed(ours) == {"reply": 1}
    assert not handler_pair.theirs.alive(wait_s=within(3))
    handler_pair.theirs.restart()
    handler_pair.compare(GET)
    EXERCISED.add("a handler that sends twice does no harm")


def test_every_difference_was_seen(request: pytest.FixtureRequest, original: Path) -> None:
    """A difference that no test meets any more has no place in the table."""
    here = Path(__file__)
    selected = {item.name for item in request.session.items if item.path == here}
    written = {name for name in globals() if name.startswith("test_")}
    if not written <= {name.split("[")[0] for name in selected}:
        pytest.skip("only some of this file's tests run")
    assert {difference.name for difference in differences.DIFFERENCES} == EXERCISED
