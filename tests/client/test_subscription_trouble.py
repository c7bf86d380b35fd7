"""Why a subscription is not followed: what it says of that, and that it says each reason once."""

from __future__ import annotations

import pytest
from support.protocol_scene import Scene
from support.stream_messages import answer

from laplace_server.client import names
from laplace_server.client.subscription_protocol import ANSWER_S, NO_ANSWER
from laplace_server.client.subscription_reader import AGAIN_S
from laplace_server.client.subscription_steps import Connect, Search
from laplace_server.errors import NotPermitted

pytestmark = pytest.mark.transports()

TITLE = "stream 's' of tcp://10.0.0.1:1"
NOT_ALLOWED = "it does not allow this client's key"


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What has been logged since the last call; all of it is worth a warning."""
    assert {record.levelname for record in caplog.records} <= {"WARNING"}
    texts = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return texts


def try_in_vain(scene: Scene, why: str = names.NOBODY) -> None:
    scene.now += AGAIN_S
    scene.ask(made=False)
    if why == names.NOBODY:
        scene.protocol.refused()
    else:
        scene.protocol.made(scene.now)
        scene.protocol.broken(why)
    scene.protocol.nothing(scene.now)


def test_after_a_break_each_reason_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    for _ in range(2):
        scene.gone()
        assert (told(caplog), scene.protocol.trouble) == ([], None)
        for why in (names.NOBODY, NOT_ALLOWED):
            try_in_vain(scene, why)
            line = f"{TITLE} is not followed any more, and waited for: {why}"
            assert (told(caplog), scene.protocol.trouble) == ([line], why)
        for why in (NOT_ALLOWED, names.NOBODY, NOT_ALLOWED):
            try_in_vain(scene, why)
            assert (told(caplog), scene.protocol.trouble) == ([], why)
        scene.now += AGAIN_S
        scene.ask()
        assert scene.protocol.trouble == NOT_ALLOWED  # until it is granted
        scene.take(answer())
        assert scene.protocol.trouble is None


def test_who_gives_no_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.gone()
    scene.ask()
    scene.now += ANSWER_S
    scene.protocol.nothing(scene.now)
    assert told(caplog) == [f"{TITLE} is not followed any more, and waited for: {NO_ANSWER}"]
    scene.ask()
    scene.gone()  # perhaps the server has ended
    assert (told(caplog), scene.protocol.trouble) == ([], NO_ANSWER)


def test_a_role_that_may_not_follow_any_more(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    denial = "not permitted: the role 'x' may not use 'SUBSCRIBE'"
    scene.gone()
    scene.ask()
    scene.take(answer(error=denial))
    assert told(caplog) == [f"{TITLE} is refused, and asked for each second: {denial}"]
    assert scene.protocol.trouble == denial


def test_before_it_was_followed(caplog: pytest.LogCaptureFixture) -> None:
    """The first try is told by whoever made it; what comes later nobody else tells."""
    scene = Scene(granted=False)
    try_in_vain(scene)
    assert (told(caplog), scene.protocol.trouble) == ([], names.NOBODY)
    scene.protocol.be_patient(scene.now)
    assert told(caplog) == [f"{TITLE} is not followed yet, and waited for: {names.NOBODY}"]
    for why in (names.NOBODY, NOT_ALLOWED, NOT_ALLOWED):
        try_in_vain(scene, why)
    assert told(caplog) == [f"{TITLE} is not followed yet, and waited for: {NOT_ALLOWED}"]
    scene.now += AGAIN_S
    scene.ask()
    with pytest.raises(NotPermitted):
        scene.take(answer(error="not permitted: no"))


def test_a_stream_that_is_not_there_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(granted=False)
    scene.protocol.be_patient(scene.now)
    told(caplog)
    for others in ("a", "a, b", "a, b, c"):
        scene.ask()
        text = f"No such stream: 's'. There are: {others}."
        scene.take(answer(error=text))
        assert scene.protocol.trouble == text
        scene.now += AGAIN_S
    first = "No such stream: 's'. There are: a."
    assert told(caplog) == [f"{TITLE} is not followed yet, and waited for: {first}"]


def test_a_server_that_always_says_something_else(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.gone()
    for number in range(100):
        try_in_vain(scene, f"it refused: {number}")
    assert 10 <= len(told(caplog)) <= 20
    assert scene.protocol.trouble == "it refused: 99"


def test_nothing_is_told_while_a_name_has_other_addresses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene(granted=False, address="tcp://lab:1")
    protocol = scene.protocol
    protocol.be_patient(scene.now)
    told(caplog)
    assert isinstance(protocol.todo(scene.now), Search)
    protocol.searching()
    protocol.incoming.append(names.Found(("10.0.0.1", "10.0.0.2")))
    protocol.read(scene.now)
    try_in_vain(scene)
    assert told(caplog) == []
    step = protocol.todo(scene.now)
    assert isinstance(step, Connect)
    assert step.endpoint == "tcp://10.0.0.2:1"
    try_in_vain(scene)
    line = f"stream 's' of tcp://lab:1 is not followed yet, and waited for: {names.NOBODY}"
    assert told(caplog) == [line]
    scene.now += AGAIN_S
    assert isinstance(protocol.todo(scene.now), Search)
    protocol.searching()
    problem = "the host name 'lab' is not known"
    protocol.incoming.append(names.Found((), problem))
    protocol.read(scene.now)
    assert protocol.trouble == problem
    assert told(caplog) == [line.replace(names.NOBODY, problem)]
