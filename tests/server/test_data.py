"""Live data that goes bad or is changed by threads, and SETs that are followed by GETs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from support.isolated import run_script
from support.peers import Connect
from support.serving import MakeServer
from support.waiting import eventually

from laplace_server.stats import ErrorKind

# ---- live data that cannot be written


def test_live_data_gone_bad_is_an_error_until_it_is_good(
    make_server: MakeServer, connect: Connect
) -> None:
    data: dict[Any, Any] = {"a": [1]}
    server = make_server(data=data)
    client = connect(server)
    assert client.get() == {"a": [1]}
    for bad, place in [
        (object(), "data['a'][1]: a value of type object"),
        (b"x", "data['a'][1]: a value of type bytes"),
    ]:
        data["a"].append(bad)
        for _ in range(2):
            reply = client.ask("GET")
            assert place in reply["error_msg"]
            assert list(reply) == ["from", "to", "cmd", "payload", "version", "error_msg", "msg"]
            assert (reply["to"], reply["cmd"], reply["payload"]) == ("tester", "GET", {})
        del data["a"][1]
        assert client.get() == {"a": [1]}
    assert eventually(lambda: server.stats().errors[ErrorKind.DATA] == 4)
    data["a"].append(object())
    assert client.ask("GET")["error_msg"]
    server.set_data({"new": 1})
    assert client.get() == {"new": 1}


@pytest.mark.parametrize("problem", [ValueError("\ud800"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_a_refresh_raises_the_next_is_made(
    make_server: MakeServer, connect: Connect, problem: BaseException
) -> None:
    class Moody(dict):  # type: ignore[type-arg]
        problem: BaseException | None = None

        def items(self) -> Any:
            if self.problem is not None:
                raise self.problem
            return super().items()

    data = Moody(a=1)
    server = make_server(data=data)
    client = connect(server)
    assert client.get() == {"a": 1}
    data.problem = problem
    assert client.ask("GET")["error_msg"]
    data.problem = None
    data["a"] = 2
    assert client.get() == {"a": 2}
    assert server.stats().stale_gets == 0


def test_a_bad_value_in_a_get_callback(make_server: MakeServer, connect: Connect) -> None:
    data: dict[str, Any] = {}
    server = make_server(data=data)
    client = connect(server)
    server.set_on_get(lambda: data.update(a=b"x"))
    assert "data['a']: a value of type bytes" in client.ask("GET")["error_msg"]
    server.set_on_get(lambda: data.update(a=1))
    assert client.get() == {"a": 1}


# ---- threads that change the data meanwhile

MUTATING = """
    import collections, dataclasses, datetime, faulthandler, itertools, json, random, sys
    import threading, time
    import numpy as np
    import zmq
    from laplace_server import ServerLHC
    from support.peers import Peer

    faulthandler.enable()
    faulthandler.dump_traceback_later(50, exit=True)
    sys.setswitchinterval(1e-5)
    kind, seconds = sys.argv[1], float(sys.argv[2])

    class Zone(datetime.tzinfo):
        def utcoffset(self, when):
            return datetime.timedelta(minutes=len([i for i in range(20)]))
        def dst(self, when): return None
        def tzname(self, when): return "zone"

    @dataclasses.dataclass
    class Pose:
        x: float
        path: list

    class Child(dict): pass

    ZONE = Zone()
    values = {
        "plain": lambda i: [i, 1.5, {"n": i}, [None] * (i % 7)],
        "default": lambda i: random.choice([
            Pose(i, [i] * (i % 5)), datetime.datetime(2024, 1, 1, tzinfo=ZONE), (i, [i]),
            collections.OrderedDict(a=[i]), Child(b=i), {1, 2} and 2**70 + i, float("nan")]),
        "arrays": lambda i: random.choice([
            np.arange(i % 50), np.full(3, np.nan), np.zeros((2, i % 9), ">f4"),
            np.array([[i], None], dtype=object), np.float32(i), np.zeros(9000)]),
        "bad": lambda i: random.choice([i, {i}, b"x", object(), [i], "\\ud800"]),
    }[kind]

    data = {"list": [0] * 10, "dict": {str(i): i for i in range(10)}, "deep": [[{}]]}
    server = ServerLHC("s", "tcp://127.0.0.1:*", 1, "MOTOR", data=data)
    if len(sys.argv) > 3:
        server.set_on_get(lambda: data["list"].append(values(1)))
    server.start()
    end = threading.Event()

    def mutate(seed):
        rng = random.Random(seed)
        for i in itertools.count(seed):
            if end.is_set():
                return
            what = rng.randrange(8)
            if what == 0: data["list"].append(values(i))
            elif what == 1: del data["list"][len(data["list"]) // 2:]
            elif what == 2: data["dict"][str(rng.randrange(200))] = values(i)
            elif what == 3: data["dict"].clear()
            elif what == 4: data["deep"][0] = [{"x": values(i)}]
            elif what == 5: data[f"key {rng.randrange(50)}"] = values(i)
            elif what == 6: data.pop(f"key {rng.randrange(50)}", None)
            else: data["list"][:] = [values(i)] * rng.randrange(20)

    def replace():
        while not end.wait(0.003):
            try: server.set_data(data)
            except TypeError: assert kind == "bad"
            try: server.set_data(dict(data), copy=True)
            except TypeError: assert kind == "bad"
            server.set_data({"list": data["list"]}) if kind == "plain" else None
            try: server.set_data(data)
            except TypeError: assert kind == "bad"

    threads = [threading.Thread(target=mutate, args=(i,)) for i in range(3)]
    threads.append(threading.Thread(target=replace))
    for thread in threads: thread.start()
    context = zmq.Context()
    client = Peer(server, context=context)
    good = bad = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until or good + bad < 6:
        reply = client.ask("GET")
        if reply["error_msg"] is None:
            assert isinstance(reply["payload"]["data"], dict)
            good += 1
        else:
            assert "data" in reply["error_msg"], reply
            bad += 1
    end.set()
    for thread in threads: thread.join()
    server.set_data({"last": 1})
    assert client.get() == {"last": 1}
    client.close()
    context.term()
    server.stop()
    assert not server.is_alive()
    print(good, bad)
"""


@pytest.mark.parametrize(
    "arguments", ["plain 1", "default 1", "default 1 callback", "arrays 1", "bad 1 callback"]
)
def test_data_changed_by_threads_while_it_is_read(arguments: str) -> None:
    good, bad = map(int, run_script(MUTATING, *arguments.split()).split())
    assert good + bad > 5
    if "bad" in arguments:
        assert bad > 0
    else:
        assert bad == 0


# ---- SET, then GET


def test_the_position_after_a_set_is_in_the_next_get(
    make_server: MakeServer, connect: Connect
) -> None:
    class Motor:
        def __init__(self) -> None:
            self.positions = [0.0, 0.0]

        def move(self, positions: list[float]) -> None:
            for axis, position in enumerate(positions):
                self.positions[axis] = position

    motor = Motor()
    server = make_server(data={"positions": motor.positions})
    server.set_on_position_changed(motor.move)
    client = connect(server)
    for n in range(20):
        client.ask("SET", {"positions": [n, -n]})
        assert client.get() == {"positions": [n, -n]}


def test_pipelined_set_and_get_come_in_order(make_server: MakeServer, connect: Connect) -> None:
    positions = [0]
    server = make_server(data={"positions": positions})
    server.set_on_position_changed(lambda new: positions.__setitem__(0, new[0]))
    client = connect(server, kind=zmq.DEALER)
    count = 100
    for n in range(count):
        client.send("SET", {"positions": [n]})
        client.send("GET")
    for n in range(count):
        assert client.receive()["cmd"] == "SET"
        assert client.receive()["payload"]["data"] == {"positions": [n]}


def test_reading_the_data_property(make_server: MakeServer) -> None:
    data = {"a": [1]}
    server = make_server(data=data, start=False)
    assert server.data == data
    assert server.data is not server.data
    assert server.data["a"] is data["a"]
    server.set_data(data, copy=True)
    assert server.data == data
    assert server.data["a"] is not data["a"]
    assert server.data["a"] is server.data["a"]
    server.data["b"] = 1
    assert server.data == data
    with pytest.raises(AttributeError):
        server.data = {}  # type: ignore[misc]
    server.empty_data()
    assert server.data == {}
    assert data == {"a": [1]}
    assert json.dumps(server.data) == "{}"
