"""JSON from the other side is read as the standard library reads it, but for its depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.isolated import run_script

from laplace_server.wire.json_text import MAX_NESTING, _depth, loads

JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text('[]{}"\\aé'),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('[{"\\'), inner, max_size=4)
    ),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


@settings(deadline=None)
@given(value=JSON, ascii_only=st.booleans())
def test_the_depth_of_any_json(value: Any, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert _depth(body) == depth_of(value)
    assert repr(loads(body)) == repr(json.loads(body))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"[":', "}]")])
def test_deeper_nesting_is_refused(opening: str, closing: str) -> None:
    levels = MAX_NESTING // len(closing)
    deepest = opening * levels + "1" + closing * levels
    assert _depth(deepest.encode()) == MAX_NESTING
    try:
        assert json.dumps(loads(deepest.encode()))
    except RecursionError:
        with pytest.raises(RecursionError):
            json.loads(deepest)
    for text in (f"[{deepest}]", f'{{"a": [1, {deepest}]}}', opening * 100_000):
        with pytest.raises(ValueError, match=f"nested deeper than {MAX_NESTING} levels"):
            loads(text.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 5000 + b"{}]",
        b'["' + b"[{" * 5000 + b'", "\\"' + b"[" * 5000 + b'"]',
        b'["' + b"\\\\" * 999 + b'", "' + b"[" * 5000 + b'"]',
        b'{"' + b"[" * 5000 + b'": 1}',
    ],
    ids=["wide", "in a text", "behind backslashes", "in a key"],
)
def test_brackets_that_do_not_nest(body: bytes) -> None:
    assert loads(body) == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"", b"[1", b"\xff", b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b"[" * 9]
)
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        loads(body)


SMALL_STACK = """
    import threading
    threading.stack_size(1 << 20)  # as Alpine's Python has
    import zmq
    from concurrent.futures import ThreadPoolExecutor
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC
    from laplace_server.errors import InvalidReply

    deep = [b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000]
    with ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR") as server, zmq.Context() as context:
        with context.socket(zmq.REQ) as socket:
            socket.connect(server.address)
            for body in deep:
                for cmd in (b"PING", b"SET"):
                    request = b'{"version": "0.2.2", "cmd": "%s", "from": %s, "payload": {}}'
                    socket.send(request % (cmd, body))
                    assert socket.recv_json()["error_msg"]

    def ask(body):
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            port = router.bind_to_random_port("tcp://127.0.0.1")
            with ClientLHC(f"tcp://127.0.0.1:{port}", timeout_s=20) as client:
                asked = threads.submit(client.get)
                router.send_multipart([*router.recv_multipart()[:-1], b'{"payload":' + body])
                try:
                    asked.result(20)
                except InvalidReply:
                    return True

    with ThreadPoolExecutor(1) as threads:
        print(all(map(ask, deep)))
"""


def test_no_message_overflows_the_stack_of_a_thread() -> None:
    assert run_script(SMALL_STACK).strip() == "True"
