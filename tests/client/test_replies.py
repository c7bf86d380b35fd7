"""What both clients make of replies, with arrays and without, however wrong they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from support.both_clients import Kind
from support.peers import PATIENCE_S, address_of
from support.scripted_server import echo, reply_to

from laplace_server import ServerLHC, errors

# -- what comes back


def fetched(talking: Any, body: bytes) -> Any:
    """Return what ``get`` makes of a reply whose data is the JSON ``body``."""
    whole = b'{"from":"s","to":"c","cmd":"GET","payload":{"data":{"v":%s}},"error_msg":null}' % body
    with talking(lambda message: [whole]) as (_, client):
        return client.get()["v"]


FILLER = b"[" + b",".join(b"%r" % (n / 7) for n in range(3000)) + b"]"


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize(
    "text",
    [
        b"18446744073709551615",
        b"18446744073709551616",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"123456789012345678901234567890",
        b"1e300",
        b"1e400",
        b"-1.5e-400",
        b"0.12345678901234567890123",
        b"12345678901234567890.5",
        b"[1, 123456789012345678901234567890]",
        b'{"a": [[-123456789012345678901234567890, "b"]]}',
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b'"18446744073709551616"',
        b"[" * 300 + b"18446744073709551616" + b"]" * 300,
        b"[" * 900 + b"1" + b"]" * 900,
    ],
)
def test_replies_are_read_as_json_reads_them(talking: Any, text: bytes, large: bool) -> None:
    body = b"[%s,%s]" % (text, FILLER) if large else text
    assert repr(fetched(talking, body)) == repr(json.loads(body))


BAD_REPLIES: list[Any] = [
    b"",
    b"nonsense",
    b"\xff\xfe",
    b"[]",
    b"null",
    b'{"error_msg": null}',
    b'{"payload": ' + b"1" * 5000 + b"}",
    b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    [b'{"payload": {}}', b""],
]


@pytest.mark.parametrize("reply", BAD_REPLIES, ids=range(len(BAD_REPLIES)))
def test_bad_replies(talking: Any, reply: Any) -> None:
    replies = [reply]

    def answer(message: dict[str, Any]) -> list[Any]:
        return [replies.pop()] if replies else echo(message)

    with talking(answer) as (_, client):
        with pytest.raises(errors.InvalidReply) as caught:
            client.request("CMD")
        assert len(str(caught.value)) < 500
        assert client.request("CMD", {"fine": True}) == {"fine": True}


@pytest.mark.parametrize("payload", [[], None, 3, {"data": 3}, {}])
def test_get_wants_a_dict(talking: Any, payload: Any) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        return [reply_to(message) | {"payload": payload}]

    with talking(answer) as (_, client), pytest.raises(errors.InvalidReply):
        client.get()


@pytest.mark.parametrize(
    ("error_msg", "error", "text"),
    [
        ("It hurts.", errors.RemoteError, "It hurts."),
        ("", errors.RemoteError, ""),
        ({"code": 3}, errors.RemoteError, '{"code": 3}'),
        ("not permitted: no", errors.NotPermitted, "not permitted: no"),
        ("ValueError: not permitted: no", errors.RemoteError, "ValueError: not permitted: no"),
        (False, errors.RemoteError, "false"),
        (
            "Protocol version mismatch: expected 0.2.1, got 0.2.2.",
            errors.VersionMismatch,
            "Protocol version mismatch: expected 0.2.1, got 0.2.2.",
        ),
    ],
)
def test_error_replies(talking: Any, error_msg: Any, error: type[Exception], text: str) -> None:
    def answer(message: dict[str, Any]) -> list[Any]:
        return [reply_to(message, error_msg=error_msg)]

    with talking(answer) as (_, client), pytest.raises(errors.RemoteError) as caught:
        client.ping()
    assert type(caught.value) is error
    assert str(caught.value) == text


# -- arrays


def with_arrays(data: Any, *arrays: Any, paths: list[Any]) -> Callable[[Any], list[Any]]:
    """Answer GET ARRAYS as servers do: null in the place of each array, its bytes in a frame."""
    described = [
        {"path": path, "dtype": array.dtype.str, "shape": array.shape}
        for path, array in zip(paths, arrays, strict=True)
    ]
    frames = [array.tobytes() for array in arrays]

    def answer(message: dict[str, Any]) -> list[Any]:
        assert (message["cmd"], message["payload"]) == ("GET ARRAYS", {})
        reply = reply_to(message, {"data": data, "arrays": described})
        return [[json.dumps(reply).encode(), *frames]]

    return answer


def test_get_with_arrays_in_place(talking: Any) -> None:
    image = numpy.arange(60_000, dtype="<u2").reshape(200, 300)
    spectrum = numpy.array([1.5, math.nan])
    data = {"image": None, "axes": [{"x": 1}, {"spectrum": None}], "none": None}
    paths = [["image"], ["axes", 1, "spectrum"]]
    with talking(with_arrays(data, image, spectrum, paths=paths)) as (_, client):
        found = client.get(arrays=True)
    assert found["none"] is None
    assert found["axes"][0] == {"x": 1}
    for array, wanted in ((found["image"], image), (found["axes"][1]["spectrum"], spectrum)):
        assert array.dtype == wanted.dtype
        assert numpy.array_equal(array, wanted, equal_nan=wanted is spectrum)
        assert not array.flags.writeable
    assert not found["image"].flags.owndata


def test_get_with_arrays_of_a_server(kind: Kind, server: ServerLHC) -> None:
    image = numpy.arange(60_000, dtype=">u2").reshape(200, 300)
    server.set_data({"image": image, "list": [numpy.float32([1.5]), {"x": 10**30}], "n": 1})
    with kind(address_of(server), timeout_s=PATIENCE_S) as client:
        found = client.get(arrays=True)
        assert client.get()["n"] == 1
    assert found["image"].dtype == image.dtype
    assert numpy.array_equal(found["image"], image)
    assert found["list"][0].dtype == "f4"
    assert (found["list"][1], found["n"]) == ({"x": 10**30}, 1)


def test_get_with_arrays_where_there_are_none(talking: Any) -> None:
    with talking(with_arrays({"x": [1, 2]}, paths=[])) as (_, client):
        assert client.get(arrays=True) == {"x": [1, 2]}


@pytest.mark.parametrize(
    "frames",
    [
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "<f8", "shape": [1]}]}],
        [{"data": {"a": None}, "arrays": [{"path": ["b", 1], "dtype": "<f8", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": [], "dtype": "<f8", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "<f8", "shape": [2]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "O", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [{"path": ["a"], "dtype": "?!", "shape": [1]}]}, 8],
        [{"data": {"a": None}, "arrays": [5]}, 8],
        # Into an array that was put there before, of which each 0 would make a copy.
        [
            {
                "data": {"a": None},
                "arrays": [
                    {"path": ["a"], "dtype": "<f8", "shape": [1, 1]},
                    {"path": ["a", [0, 0, 0], 0], "dtype": "<f8", "shape": [1]},
                ],
            },
            8,
            8,
        ],
        [{"data": {"a": None}, "arrays": []}, 8],
        [{"data": {"a": None}, "arrays": 5}],
        [{"data": [], "arrays": []}],
        [{"data": {}}],
        [[]],
    ],
    ids=str,
)
def test_get_with_arrays_that_do_not_fit(talking: Any, frames: list[Any]) -> None:
    payload, *sizes = frames

    def answer(message: dict[str, Any]) -> list[Any]:
        body = json.dumps(reply_to(message, payload)).encode()
        return [[body, *(bytes(size) for size in sizes)]]

    with talking(answer) as (_, client), pytest.raises(errors.InvalidReply):
        client.get(arrays=True)
