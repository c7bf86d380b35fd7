"""Memory is bounded by what is alive, in every way of handing data over.

Each way runs in a fresh process, with arrays of 1 MiB. What is looked at is what Python traces
(NumPy's arrays among it) and what the system counts.
"""

from __future__ import annotations

import os
import textwrap

import pytest
from support.isolated import run_script
from support.machine import within

# LAPLACE_TEST_ENDURANCE=1: all of an hour's worth, which takes about as long.
SHARE = float(os.environ.get("LAPLACE_TEST_ENDURANCE", "0.03"))

HEAD = """
    import gc, sys, tracemalloc
    import numpy as np
    from support.waiting import eventually
    from support.machine import memory, resident
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC

    rounds = int(sys.argv[1])
    HISTORY = 4 << 20

    def frame(i):
        return np.full((128, 1024), float(i % 250))

    def traced():
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    def measure(use, alive_mb=0.0):
        for i in range(20):
            use(i)
        before = resident()
        tracemalloc.start()
        for i in range(rounds):
            use(i)
        # A frame may be replaced by one that is traced, and a few may be on their way.
        limit = (alive_mb + 4) * 2**20
        assert eventually(lambda: traced() < limit), f"{traced() / 2**20:.1f} MiB traced"
        tracemalloc.stop()
        grown = resident() - before
        assert grown < memory(24 + alive_mb), f"{grown / 2**20:.1f} MiB more in use"

    def serve(**arguments):
        # However busy the machine is, no read is stale.
        given = {"refresh_timeout_ms": 20_000, **arguments}
        return ServerLHC("memory", "tcp://127.0.0.1:*", 1, "CAMERA", **given)

    def connect(server):
        return ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=20)

    def check(truth):
        assert truth

    def shows(client, i, arrays):
        # Ask, and tell whether that shows a frame of i; a text is not decoded, which takes long.
        value = float(i % 250)
        if arrays:
            return client.get(arrays=True)["image"][0, 7] == value
        (reply,) = client._exchange(client._requests.get, None)
        return f'"image":[[{value},'.encode() in bytes(reply)
"""

WAYS = {
    "a dict of the program's, read as text": """
        data = {"image": frame(0), "list": [frame(0)]}
        with serve(data=data) as server, connect(server) as client:
            def use(i):
                data["image"] = data["list"][0] = frame(i)
                assert shows(client, i, False)
            measure(use, 8)
    """,
    "a dict of the program's, read as arrays": """
        data = {"image": frame(0), "list": [frame(0)]}
        with serve(data=data) as server, connect(server) as client:
            def use(i):
                data["image"] = data["list"][0] = frame(i)
                assert shows(client, i, True)
            measure(use)
    """,
    "a dict of the program's, changed in callbacks and read by nobody": """
        data = {"image": frame(0)}
        with serve(data=data) as server, connect(server) as client:
            server.set_on_position_changed(lambda i: data.update(image=frame(i)))
            measure(client.set)
    """,
    "a dict of the program's, set again and again": """
        data = {}
        with serve(data=data) as server, connect(server) as client:
            def use(i):
                data["image"] = frame(i)
                server.set_data(data)
                assert i % 5 or shows(client, i, False)
            measure(use, 4)
    """,
    "an array changed in place": """
        image = frame(0)
        with serve(data={"image": image}) as server, connect(server) as client:
            def use(i):
                image[0] = i % 250
                assert shows(client, i, False)
            measure(use, 4)
    """,
    "written through server.data": """
        with serve(data={"list": [frame(0)], "by": {}}) as server, connect(server) as client:
            def use(i):
                server.data["by"]["image"] = frame(i)
                server.data["list"][0] = frame(i)
                got = client.get(arrays=True)
                assert got["by"]["image"][0, 7] == got["list"][0][0, 7] == i % 250
                assert i % 5 or shows(client, i, False)
            measure(use, 8)
    """,
    "given up by the program": """
        with serve() as server, connect(server) as client:
            def use(i):
                server.set_data({"image": frame(i), "n": i})
                assert shows(client, i, i % 2 == 0)
            measure(use, 4)
    """,
    "copied": """
        image = frame(0)
        with serve() as server, connect(server) as client:
            def use(i):
                image[0] = i % 250
                server.set_data({"image": image, "n": i}, copy=True)
                assert i % 3 == 0 or shows(client, i, i % 2 == 0)
                assert i % 5 or server.data["image"][0, 7] == i % 250
            measure(use, 4)
    """,
    "each value given to one GET": """
        with serve(empty_data_after_get=True) as server, connect(server) as client:
            def use(i):
                server.set_data({"image": frame(i)}, copy=i % 3 == 0)
                assert shows(client, i, i % 2 == 0)
            measure(use, 4)
    """,
    "set in on_get": """
        with serve() as server, connect(server) as client:
            number = iter(range(1 << 40))
            def answer():
                n = next(number)
                server.set_data({"image": frame(n), "n": n})
            server.set_on_get(answer)

            wanted = iter(range(1 << 40))
            measure(lambda i: check(shows(client, next(wanted), i % 2 == 0)), 4)
    """,
    "refused": """
        with serve() as server, connect(server) as client:
            def use(i):
                server.set_data({"image": frame(i), "bad": object()})
                if i % 10 == 0:
                    try:
                        client.get(arrays=i % 20 == 0)
                    except Exception as problem:
                        assert "data['bad']" in str(problem)
                    else:
                        raise AssertionError("no error")
            measure(use)
    """,
    "set_data's stream, followed": """
        with serve() as server, connect(server) as client:
            server.declare_stream("data", history_bytes=HISTORY)
            with client.subscribe("data") as updates:
                def use(i):
                    server.set_data({"image": frame(i)}, copy=i % 2 == 0)
                    assert updates.next(10).data["image"][5, 7] == i % 250
                measure(use, 5)
    """,
    "set_data's stream, followed by nobody": """
        with serve() as server, connect(server) as client:
            server.declare_stream("data", history_bytes=HISTORY)
            measure(lambda i: server.set_data({"image": frame(i)}, copy=i % 2 == 0), 5)
    """,
    "published, copied": """
        image = frame(0)
        with serve() as server, connect(server) as client:
            server.declare_stream("s", history_bytes=HISTORY)
            with client.subscribe("s") as updates:
                def use(i):
                    image[5] = i
                    server.publish("s", {"image": image})
                    assert updates.next(10).data["image"][5, 7] == i
                measure(use, 5)
    """,
    "published, given away": """
        with serve() as server, connect(server) as client:
            server.declare_stream("s", history_bytes=HISTORY)
            with client.subscribe("s") as updates:
                def use(i):
                    server.publish("s", {"image": frame(i)}, copy=False)
                    assert updates.next(10).data["image"][5, 7] == i % 250
                measure(use, 5)
    """,
    "published, given away, more than one can follow": """
        with serve() as server, connect(server) as client:
            server.declare_stream("s", history_bytes=HISTORY)
            with client.subscribe("s", credit_bytes=2 << 20, latest_only=True) as updates:
                def use(i):
                    server.publish("s", {"image": frame(i)}, copy=False)
                    if i % 50 == 0:
                        updates.next(10)
                measure(use, 7)
    """,
}

# An hour's worth of each, and how often a run of the tests does it. `use` does it `of` times.
LONG = """
    import json, zmq
    from laplace_server.protocol import make_get_request

    def asks(server, of):
        # So many requests in flight that a million takes seconds.
        body = json.dumps(make_get_request("memory", "server")).encode()
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.connect(f"tcp://127.0.0.1:{server.server_port}")
            for start in range(0, of, 200):
                for _ in range(200):
                    socket.send_multipart([b"", body])
                for _ in range(200):
                    assert b'"error_msg": null' in socket.recv_multipart()[1]

    def measure_long(use):
        use(rounds // 10)
        before = resident()
        tracemalloc.start()
        use(200)
        known = traced()
        use(200)
        small = traced()
        tracemalloc.stop()
        use(rounds)
        tracemalloc.start()
        use(200)
        assert eventually(lambda: traced() < max(known, small) + 100_000), (known, traced())
        tracemalloc.stop()
        grown = resident() - before
        assert grown < memory(4), f"{grown / 2**20:.1f} MiB more in use"
"""
USES = {
    "set_data": (
        1_000_000,
        """
        data = {"positions": [0.0, 1.0], "on": True}
        with serve() as server:
            def use(of):
                for i in range(of):
                    data["positions"][0] = i
                    server.set_data(data, i % 2 == 0)
                    if i % 3 == 0:
                        server.set_data({"n": i})
            measure_long(use)
    """,
    ),
    "publish": (
        1_000_000,
        """
        with serve() as server, connect(server) as client:
            server.declare_stream("s", history_bytes=1 << 20)
            with client.subscribe("s", latest_only=True) as updates:
                def use(of):
                    for i in range(of):
                        server.publish("s", {"n": i, "text": "x"})
                        if i % 1000 == 0:
                            updates.next(10)
                measure_long(use)
    """,
    ),
    "GET": (
        1_000_000,
        """
        with serve(data={"positions": [0.0, 1.0]}) as server:
            measure_long(lambda of: asks(server, of))
    """,
    ),
    "GET of data that the program holds": (
        300_000,
        """
        data = {"positions": [0.0, 1.0], "image": np.zeros(10)}
        with serve(data=data) as server:
            measure_long(lambda of: asks(server, of))
    """,
    ),
    "GET ARRAYS": (
        1_000_000,
        """
        data = {"image": np.zeros(4096), "n": 1}
        with serve(data=data) as server, connect(server) as client:
            def use(of):
                for i in range(of):
                    if i % 100 == 0:
                        server.set_data({**data, "image": np.zeros(4096)})
                    assert client.get(arrays=True)["n"] == 1
            measure_long(use)
    """,
    ),
    "SET with a callback": (
        300_000,
        """
        data = {"positions": [0.0, 1.0]}
        with serve(data=data) as server, connect(server) as client:
            server.set_on_position_changed(lambda p: data.update(positions=p))
            def use(of):
                for i in range(of):
                    client.set([1.5, i])
            measure_long(use)
    """,
    ),
    "subscribe and close": (
        100_000,
        """
        with serve() as server, connect(server) as client:
            server.publish("s", {"n": 1})
            def use(of):
                for i in range(of):
                    with client.subscribe("s", start="oldest") as updates:
                        assert updates.next(10).seq == 1
            measure_long(use)
    """,
    ),
    "connect, ask and close": (
        100_000,
        """
        with serve(data={"n": 1}) as server:
            def use(of):
                for i in range(of):
                    with connect(server) as client:
                        assert client.get() == {"n": 1}
            measure_long(use)
    """,
    ),
    "connect with asyncio, ask, subscribe and close": (
        30_000,
        """
        import asyncio
        from laplace_server.client import AsyncClientLHC
        with serve(data={"n": 1}) as server:
            server.publish("s", {"n": 1})
            async def ask(of):
                for i in range(of):
                    async with AsyncClientLHC(f"tcp://127.0.0.1:{server.server_port}") as client:
                        assert await client.get() == {"n": 1}
                        async with client.subscribe("s", start="oldest") as updates:
                            assert (await updates.next(10)).seq == 1
            measure_long(lambda of: asyncio.run(ask(of)))
    """,
    ),
}


@pytest.mark.timeout(within(300))
@pytest.mark.parametrize("way", WAYS)
def test_memory_is_bounded_by_what_is_alive(way: str) -> None:
    script = textwrap.dedent(HEAD) + textwrap.dedent(WAYS[way])
    run_script(script, "1000", timeout_s=within(280))


@pytest.mark.slow
@pytest.mark.timeout(within(600 if SHARE < 1 else 7200))
@pytest.mark.parametrize("use", USES)
def test_an_hours_use_ends_where_it_began(use: str) -> None:
    rounds, script = USES[use]
    whole = textwrap.dedent(HEAD) + textwrap.dedent(LONG) + textwrap.dedent(script)
    limit_s = within(590 if SHARE < 1 else 7100)
    run_script(whole, str(max(1000, int(rounds * SHARE))), timeout_s=limit_s)
