"""Which moment a GET shows: all that was set before it came, and everything of one refresh."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import gc
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq
from support.peers import Connect
from support.serving import Gate, MakeServer, client_of
from support.waiting import eventually

from laplace_server import ServerLHC
from laplace_server.errors import RemoteError
from laplace_server.stats import ErrorKind

LARGE = (1000, 2000)  # of floats: its text takes a while
SMALL = (2, 3)


@dataclasses.dataclass
class Camera:
    image: Any
    number: int


class Kind(enum.Enum):
    ONE = 1


def first(value: Any) -> float:
    while isinstance(value, (list, np.ndarray)) and len(value):
        value = value[0]
    return float(value.real)


# ---- one refresh


def plain(shape: tuple[int, ...]) -> Any:
    return np.zeros(shape)


KINDS: dict[str, Callable[[tuple[int, ...]], Any]] = {
    "floats": plain,
    "bytes": lambda shape: np.zeros(shape, "u1"),
    "complex": lambda shape: np.zeros(shape, "c16"),
    "half": lambda shape: np.zeros(shape, "f2"),
    "big-endian": lambda shape: np.zeros(shape, ">i4"),
    "Fortran": lambda shape: np.zeros(shape, order="F"),
    "a part": lambda shape: np.zeros((shape[0], 2 * shape[1]))[:, ::2],
    "a part that is read-only": lambda shape: np.broadcast_to(np.zeros(shape[1]), shape),
    "masked": lambda shape: np.ma.masked_array(np.zeros(shape)),
    "objects": lambda shape: np.zeros(shape, object),
    "a subclass": lambda shape: np.zeros(shape).view(np.matrix),
}


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_an_array_changed_in_place_shows_with_the_number_beside_it(
    make_server: MakeServer, kind: str, arrays: bool
) -> None:
    made = [KINDS[kind]((3, 40)) for _ in range(4)]
    camera = Camera(made[1], 0)
    data = {"n": 0, "image": made[0], "camera": camera, "list": [{"image": made[2]}, (made[3],)]}
    server = make_server(data=data)
    with client_of(server) as client:
        for i in range(1, 6):
            for array in made:
                (array if array.flags.writeable else array.base)[...] = i
            data["n"] = camera.number = i
            got = client.get(arrays=arrays)
            numbers = [got["n"], got["camera"]["number"]]
            images = [got["image"], got["camera"]["image"], got["list"][0]["image"]]
            images.append(got["list"][1][0])
            assert numbers == [i, i]
            assert [first(image) for image in images] == [i] * 4
            assert server.stats().stale_gets == 0


def test_a_mask_and_texts_changed_in_place_show(make_server: MakeServer, connect: Connect) -> None:
    masked = np.ma.masked_array([1.0, 2.0], [False, False])
    days, names = np.array(["2026-01-01"], "M8[D]"), np.array(["a"])
    server = make_server(data={"m": masked, "days": days, "names": names})
    client = connect(server)
    client.get()
    masked.mask[1] = True
    days[0], names[0] = "2026-01-02", "b"
    assert client.get() == {"m": [1.0, None], "days": ["2026-01-02"], "names": ["b"]}


def test_an_array_twice_in_the_data(make_server: MakeServer, connect: Connect) -> None:
    image = np.zeros(3)
    server = make_server(data={"a": image, "b": {"c": [image]}})
    client = connect(server)
    for i in range(3):
        image[:] = i
        assert client.get() == {"a": [i] * 3, "b": {"c": [[i] * 3]}}


def test_what_did_not_change_beside_what_did(make_server: MakeServer, connect: Connect) -> None:
    """Of a large array that is as it was, the text is used again: it must be the right one."""
    one, two = np.zeros(30_000), np.ones(30_000)
    server = make_server(data={"one": one, "two": two, "n": 0})
    client = connect(server)
    for i in range(2, 6):
        (one, two)[i % 2][i] = i
        got = client.get()
        assert (got["one"], got["two"]) == (one.tolist(), two.tolist())
    data = {"one": two, "two": one, "swapped": [one]}
    server.set_data(data)
    assert client.get() == {"one": two.tolist(), "two": one.tolist(), "swapped": [one.tolist()]}


LAYOUTS: dict[str, Callable[[], Any]] = {
    "C": lambda: np.zeros((500, 500)),
    "Fortran": lambda: np.zeros((500, 500), order="F"),
    "strided": lambda: np.zeros((500, 1000))[:, ::2],
    "masked": lambda: np.ma.masked_array(np.zeros((500, 500)), np.zeros((500, 500), bool)),
}


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_other_thread_runs_during_a_refresh(
    make_server: MakeServer, layout: str, arrays: bool
) -> None:
    """The number is written first, so no image may be newer than the number beside it."""
    image = LAYOUTS[layout]()
    memory = image.data if layout == "masked" else image
    data = {"n": 0, "between": [decimal.Decimal(1), uuid.uuid4(), Kind.ONE], "image": image}
    server = make_server(data=data, refresh_timeout_ms=20_000)
    over = threading.Event()

    def change() -> None:
        i = 0
        while not over.is_set():
            i += 1
            data["n"] = i
            memory[0, 0] = i

    changing = threading.Thread(target=change)
    with client_of(server) as client:
        changing.start()
        try:
            for _ in range(25):
                got = client.get(arrays=arrays)
                assert first(got["image"]) <= got["n"]
        finally:
            over.set()
            changing.join()


@pytest.fixture
def collections_everywhere() -> Iterator[None]:
    """Garbage is collected at each other allocation, with Python that others may come between."""

    def take_time(phase: str, info: dict[str, int]) -> None:
        for _ in range(20):
            pass

    before = gc.get_threshold(), sys.getswitchinterval()
    gc.callbacks.append(take_time)
    gc.set_threshold(5, 2, 2)
    sys.setswitchinterval(1e-5)
    yield
    gc.set_threshold(*before[0])
    sys.setswitchinterval(before[1])
    gc.callbacks.remove(take_time)
    assert gc.isenabled()


@pytest.mark.usefixtures("collections_everywhere")
@pytest.mark.parametrize("way", ["GET", "GET arrays", "a copy"])
def test_collections_let_nobody_in(make_server: MakeServer, way: str) -> None:
    """Whatever they run, it is not in the midst of a copy."""
    image = np.zeros((50, 1000))[:, ::2]
    between = [decimal.Decimal(1), uuid.uuid4(), *([i] for i in range(200))]
    data: dict[str, Any] = {"n": 0, "between": between, "image": image}
    server = make_server(data=None if way == "a copy" else data, refresh_timeout_ms=20_000)
    over = threading.Event()

    def change() -> None:
        i = 0
        while not over.is_set():
            i += 1
            data["n"] = i
            image[0, 0] = i

    changing = threading.Thread(target=change)
    with client_of(server) as client:
        changing.start()
        try:
            for _ in range(50):
                if way == "a copy":
                    server.set_data(data, copy=True)
                got = client.get(arrays=way == "GET arrays")
                assert first(got["image"]) <= got["n"]
        finally:
            over.set()
            changing.join()


# ---- what was set is shown


def live(server: ServerLHC, data: dict[str, Any], keep: list[Any]) -> None:
    keep.append(data)
    server.set_data(data)


def held_array(server: ServerLHC, data: dict[str, Any], keep: list[Any]) -> None:
    keep.append(data["image"])
    server.set_data(data)


def given_up(server: ServerLHC, data: dict[str, Any], keep: list[Any]) -> None:
    server.set_data({**data})


def copied(server: ServerLHC, data: dict[str, Any], keep: list[Any]) -> None:
    server.set_data(data, copy=True)


WAYS = [live, held_array, given_up, copied]


@pytest.mark.parametrize("set_data", WAYS)
@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_a_get_after_set_data_shows_it(
    make_server: MakeServer, set_data: Callable[..., None], shape: tuple[int, ...]
) -> None:
    server = make_server(refresh_timeout_ms=0)
    keep: list[Any] = []
    with client_of(server) as client:
        for i in range(4):
            set_data(server, {"n": i, "image": np.full(shape, float(i))}, keep)
            got = client.get(arrays=i == 2)
            assert (got["n"], first(got["image"])) == (i, i)


@pytest.mark.parametrize("set_data", WAYS)
def test_a_get_after_set_data_shows_it_while_an_older_text_is_made(
    make_server: MakeServer, connect: Connect, set_data: Callable[..., None]
) -> None:
    server = make_server()
    keep: list[Any] = []
    waiting, client = connect(server, zmq.DEALER), connect(server)
    for i in range(3):
        set_data(server, {"n": 2 * i, "image": np.full(LARGE, 1.5)}, keep)
        waiting.send("GET")
        # It is known that the server has the request when it has answered one behind it.
        assert client.ask("PING")["error_msg"] is None
        set_data(server, {"n": 2 * i + 1, "image": np.full(LARGE, 2.5)}, keep)
        assert client.get()["n"] == 2 * i + 1
        assert waiting.receive()["payload"]["data"]["n"] in (2 * i, 2 * i + 1)
        keep.clear()
    assert server.stats().stale_gets == 0


def test_a_fast_producer_of_large_arrays_starves_no_reader(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"n": -1})
    client = connect(server)
    last, over = [-1], threading.Event()

    def produce() -> None:
        image = np.zeros((300, 1000))
        while not over.is_set():
            server.set_data({"n": last[0] + 1, "image": image}, copy=True)
            last[0] += 1
            over.wait(0.002)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for _ in range(10):
            known = last[0]
            assert client.get()["n"] >= known
    finally:
        over.set()
        producer.join()
    assert server.stats().stale_gets == 0


class Slow(dict):  # type: ignore[type-arg]
    """A dict whose refresh takes as long as the test likes, once it is told so."""

    gate: Gate | None = None

    def items(self) -> Any:
        if self.gate is not None:
            self.gate()
        return super().items()


def test_set_data_does_not_wait_for_a_refresh_of_older_data(
    make_server: MakeServer, connect: Connect
) -> None:
    data = Slow(n=0)
    server = make_server(data=data, refresh_timeout_ms=20_000)
    waiting, client = connect(server, zmq.DEALER), connect(server)
    client.get()
    data.gate = gate = Gate()
    waiting.send("GET")
    gate.wait_begun()
    for n in range(1, 4):
        server.set_data({"n": n}, copy=True)
        assert client.get() == {"n": n}
    assert waiting.receive()["payload"]["data"]["n"] in (1, 2, 3)
    gate.open()
    assert client.get() == {"n": 3}
    assert server.stats().stale_gets == 0


def test_a_get_behind_a_set_shows_a_large_array_that_a_callback_changed(
    make_server: MakeServer, connect: Connect
) -> None:
    image = np.zeros(LARGE)
    server = make_server(data={"image": image, "n": 0}, refresh_timeout_ms=1)
    client, other = connect(server), connect(server, zmq.DEALER)
    server.set_on_position_changed(lambda n: image.fill(n))
    client.get()
    for n in range(1, 4):
        other.send("SET", {"positions": n})
        other.send("GET")
        assert other.receive()["error_msg"] is None
        assert first(other.receive()["payload"]["data"]["image"]) == n
    assert server.stats().stale_gets == 0


def test_a_get_behind_a_get_arrays_shows_what_on_get_changed(make_server: MakeServer) -> None:
    data = {"n": 0}
    server = make_server(data=data, refresh_timeout_ms=0)
    with client_of(server) as client:
        for i in range(20):
            server.set_on_get(lambda i=i: data.update(n=i))  # type: ignore[misc]
            assert client.get(arrays=True) == {"n": i}
            server.set_on_get(None)
            assert client.get() == {"n": i}


@pytest.mark.parametrize("arrays", [False, True])
def test_large_data_set_in_on_get_is_in_that_reply(make_server: MakeServer, arrays: bool) -> None:
    server = make_server()
    numbers = iter(range(100))
    server.set_on_get(lambda: server.set_data({"image": np.full(LARGE, float(next(numbers)))}))
    with client_of(server) as client:
        for i in range(4):
            assert first(client.get(arrays=arrays)["image"]) == i


def test_requests_that_only_python_reads_show_it_too(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server()
    client = connect(server)
    for i in range(3):
        server.set_data({"image": np.full(LARGE, float(i))}, copy=i == 1)
        got = client.ask("GET", {"long": 10**25})["payload"]["data"]
        assert first(got["image"]) == i


def test_large_values_are_given_once(make_server: MakeServer) -> None:
    server = make_server(empty_data_after_get=True)
    with client_of(server) as client:
        for i in range(6):
            server.set_data({"image": np.full(LARGE, float(i))}, copy=i % 2 == 0)
            assert first(client.get(arrays=i % 3 == 0)["image"]) == i
            assert client.get(arrays=i % 3 == 1) == {}
        # The other way is taken while there is a value without a text.
        server.empty_data_after_get = False
        server.set_data({"image": np.full(LARGE, 7.0)}, copy=True)
        server.empty_data_after_get = True
        assert first(client.get()["image"]) == 7
        assert client.get() == {}


def test_stop_answers_who_waits_for_a_text(make_server: MakeServer, connect: Connect) -> None:
    server = make_server()
    client = connect(server, zmq.DEALER)
    server.set_data({"image": np.random.default_rng(1).random((2000, 2000))}, copy=True)
    client.send("GET")
    assert connect(server).ask("PING")["error_msg"] is None
    server.stop()
    reply = client.receive()
    assert reply["error_msg"] is None or "stopping" in reply["error_msg"]


# ---- texts in pieces


@pytest.mark.parametrize(
    "shape",
    [(1, 30_000), (30_000, 1), (3, 7, 1500), (1, 1, 1, 9000), (9000, 3, 1), (2, 0, 9000), (8193,)],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", ">i2", "?", "c8", "g"])
def test_a_large_array_is_read_as_its_lists(
    make_server: MakeServer, connect: Connect, shape: tuple[int, ...], dtype: str
) -> None:
    array = (np.arange(np.prod(shape)) % 100 * 0.5).reshape(shape).astype(dtype)
    if dtype in ("f8", "c8"):
        array.reshape(-1)[4000::5000] = np.nan
    server = make_server()
    server.set_data({"odd \ud800": {"a": array}, "b": [array.T, "\0"]}, copy=True)
    got = connect(server).get()
    plain_array = array.astype("f8") if dtype == "g" else array
    wanted = plain_array.view("f4").reshape(*shape, 2) if dtype == "c8" else plain_array
    np.testing.assert_array_equal(np.array(got["odd \ud800"]["a"]).reshape(wanted.shape), wanted)
    turned = wanted.transpose(*range(array.ndim - 1, -1, -1), *range(array.ndim, wanted.ndim))
    np.testing.assert_array_equal(np.array(got["b"][0]).reshape(turned.shape), turned)
    assert got["b"][1] == "\0"


# ---- what cannot be sent


def test_refused_data_is_an_error_until_better_data_comes(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server = make_server(data={"good": 0})
    with client_of(server) as client, client.subscribe("data") as updates:
        for i, bad in enumerate([object(), b"x", len]):
            data = {"n": [1, bad]}
            server.set_data(data)
            server.set_data(data)
            assert server.data["n"] is data["n"]
            for arrays in (False, True, False):
                with pytest.raises(RemoteError, match=r"data\['n'\]\[1\]: a "):
                    client.get(arrays=arrays)
            assert "data['n'][1]" in (server.stats().data_error or "")
            if i == 0:
                data["n"].pop()  # it is live
                assert client.get() == {"n": [1]}
                assert server.stats().data_error is None
            server.set_data({"good": i})
            assert client.get() == {"good": i}
            assert server.stats().data_error is None
            assert updates.next(20).data == {"good": i}
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 3
    assert all("data['n'][1]" in record.getMessage() for record in told)


def test_a_constructor_takes_data_as_set_data_does(
    make_server: MakeServer, connect: Connect
) -> None:
    server = make_server(data={"a": object()})
    client = connect(server)
    assert "data['a']" in client.ask("GET")["error_msg"]
    assert eventually(lambda: server.stats().errors[ErrorKind.DATA] == 1)
    server.set_data({"a": 1})
    assert client.get() == {"a": 1}


@pytest.mark.parametrize("copy", [False, True])
def test_the_error_goes_with_better_data_of_any_size(make_server: MakeServer, copy: bool) -> None:
    server = make_server()
    for good in ({"n": 1}, {"image": np.zeros(LARGE)}):
        server.set_data({"n": object()})
        assert "data['n']" in (server.stats().data_error or "")
        server.set_data(good, copy=copy)
        assert server.stats().data_error is None


def test_what_becomes_bad_in_place_is_told_once_for_each_reason(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    data: dict[str, Any] = {"n": 1}
    server = make_server(data=data)

    def told() -> int:
        return sum("cannot be sent" in record.msg for record in caplog.records)

    with client_of(server) as client:
        for arrays in (False, True):
            for bad in (object(), b"", object(), b""):
                data["n"] = bad
                with pytest.raises(RemoteError, match="cannot be written"):
                    client.get(arrays=arrays)
                assert type(bad).__name__ in (server.stats().data_error or "")
            assert told() == 2
            data["n"] = 1
            assert client.get(arrays=arrays) == {"n": 1}
            assert server.stats().data_error is None
            caplog.clear()
