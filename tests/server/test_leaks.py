"""Nothing stays behind: threads, files and memory, over many servers, connections and requests.

Each test runs in a fresh process, so that what others left does not count.
"""

from __future__ import annotations

import pytest
from support.isolated import run_script
from support.machine import SLOWNESS, within

HEAD = """
    import gc, os, random, sys, threading
    import psutil, zmq
    from support.machine import OWN_THREADS, descriptors, memory, native_threads
    from support.peers import Peer, ask, request
    from support.raw_peers import RawPeer, connect_tcp
    from support.waiting import wait_until
    from laplace_server import ServerLHC
    count = int(sys.argv[1])

    def make(**arguments):
        return ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", **arguments)

    def held():
        gc.collect()
        return native_threads(), descriptors()

    def no_more_than(before):
        threads, files = held()
        return threads <= before[0] + OWN_THREADS and files <= before[1]

    def rss():
        return psutil.Process().memory_info().rss
"""

START_STOP = """
    def cycle(i):
        server = make(data={"x": [i] * 100})
        if i % 4:
            server.start()
        if i % 4 > 1:
            with Peer(server) as peer:
                assert peer.ask("GET")["payload"]["data"]["x"][0] == i
                if i % 4 == 3:
                    peer.ask("STOP")
                    server.join()
        server.stop()
        assert not server.is_alive()

    for i in range(min(count, 200)):
        cycle(i)
    before, size = held(), rss()
    for i in range(count):
        cycle(i)
    wait_until(lambda: no_more_than(before), f"threads and files are gone: {before} {held()}")
    assert threading.active_count() == 1
    assert rss() - size < memory(16), rss() - size
"""

NEVER_STOPPED = """
    for i in range(count + 50):
        if i == 50:
            before, size = held(), rss()
        server = make(data={"x": [i] * 100})
        server.me = server
        del server
        if i % 20 == 19:
            gc.collect()
    wait_until(lambda: no_more_than(before), "threads and files are gone")
    assert rss() - size < memory(16), rss() - size
"""

ABORTED = """
    with make(data={"x": "x" * 1000}) as server, Peer(server) as steady:
        def abort(i):
            kind = i % 5
            if kind == 0:
                connect_tcp(server).close()
            elif kind == 1:
                with connect_tcp(server) as connection:
                    connection.sendall(random.randbytes(100))
            elif kind == 2:
                with connect_tcp(server) as connection:
                    connection.sendall(RawPeer.GREETING[:40])
            elif kind == 3:
                with RawPeer(server) as peer:
                    for cmd in ("GET", "SET", "PING"):
                        peer.send(request(cmd, {"positions": 1}))
            else:
                with RawPeer(server) as peer:
                    peer.socket.sendall(peer.message([b"", request("PING")])[:-3])

        for i in range(min(count, 500)):
            abort(i)
        wait_until(lambda: server.stats().connections <= 1, "they are gone")
        steady.ask("PING")
        before, size = held(), rss()
        for i in range(count):
            abort(i)
            if i % 100 == 0:
                assert steady.ask("SET", {"positions": i})["error_msg"] is None
        wait_until(lambda: server.stats().connections == 1, f"gone: {server.stats()}")
        wait_until(lambda: server.stats().queue_depth == 0, "nothing waits")
        wait_until(lambda: no_more_than(before), "threads and files are gone")
        assert server.stats().parked_bytes == 0
        assert server.stats().queue_bytes == 0
        assert rss() - size < memory(16), rss() - size
        assert steady.ask("GET")["error_msg"] is None
"""

REQUESTS = """
    bodies = [
        request("PING"), request("GET"), request("INFO"), request("NOPE"), b"not json", b"",
        request("SET", {"positions": [1.5] * 20}), request("ECHO", {"x": "x" * 500}),
        request("FAIL"), request("GET", sender={"a": [1]}), request("PING", version="1"),
    ]

    def fail(server, message, target):
        raise ValueError("as asked")

    import logging
    logging.getLogger("laplace.server").disabled = True
    with make() as server, Peer(server, zmq.DEALER) as peer:
        server.set_on_position_changed(lambda p: server.set_data({"x": p}))
        server.register_handler("ECHO", lambda s, m, t: m["payload"])
        server.register_handler("FAIL", fail)

        def ask_many(number):
            for start in range(0, number, 500):
                for i in range(500):
                    peer.send(bodies[(start + i) % len(bodies)])
                for i in range(500):
                    peer.receive_frames()

        ask_many(20_000)
        before, size = held(), rss()
        ask_many(count)
        assert no_more_than(before)
        assert rss() - size < memory(16), rss() - size
        assert server.stats().queue_depth == 0
"""

NEW_DATA = """
    with make() as server, Peer(server) as peer:
        for i in range(count + 200):
            if i == 200:
                size = rss()
            data = {"x": [float(i)] * 1000, "nested": [{"y": (1, 2, None)}, "text" * 10]}
            server.set_data(data, copy=bool(i % 3))
            assert peer.ask("GET")["payload"]["data"]["x"][0] == i
            if i % 10 == 0:
                try:
                    server.set_data({"x": [object()]})
                except TypeError:
                    pass
            server.set_name_list([str(i)])
            server.set_on_get(None)
        assert rss() - size < memory(16), rss() - size
"""

SUBSCRIPTIONS = """
    from concurrent.futures import ThreadPoolExecutor
    from laplace_server.client import ClientLHC

    def follow(client, server, i):
        subscription = client.subscribe("s", latest_only=bool(i % 2))
        server.publish("s", {"i": i, "text": "x" * 100})
        assert subscription.next(20).data["i"] == i
        if i % 10 == 0:
            waiting = threads.submit(lambda: [update for update in subscription])
            subscription.close()
            waiting.result(20)
        elif i % 10 == 1:
            # Again on a new connection, a moment later, as after a break.
            subscription._protocol.broken()
            server.publish("s", {"i": -i})
            assert subscription.next(20).data["i"] == -i
        subscription.close()

    with make() as server, ThreadPoolExecutor(1) as threads:
        server.declare_stream("s", history_bytes=10_000)
        address = f"tcp://127.0.0.1:{server.server_port}"
        with ClientLHC(address, timeout_s=20) as client:
            for i in range(200):
                follow(client, server, i)
            before, size = held(), rss()
            for i in range(count):
                follow(client, server, i)
            wait_until(lambda: no_more_than(before), f"gone: {before} {held()}")
            wait_until(lambda: server.stats().subscribers == (), "the server has let go")
            assert rss() - size < memory(16), rss() - size
"""

ASYNC_CLIENT = """
    import asyncio
    from support.event_loop import run
    from laplace_server.client import AsyncClientLHC

    async def follow(address, server, i):
        async with AsyncClientLHC(address, timeout_s=20) as client:
            asking = asyncio.ensure_future(client.get())
            async with client.subscribe("s") as subscription:
                server.publish("s", {"i": i})
                assert (await subscription.next(20)).data["i"] == i
                waiting = asyncio.ensure_future(subscription.next())
                await asyncio.sleep(0)
                waiting.cancel()
            if i % 2:
                asking.cancel()
            await asyncio.wait({asking, waiting})

    async def follow_all(address, server, number):
        for i in range(number):
            await follow(address, server, i)

    with make() as server:
        server.declare_stream("s", history_bytes=10_000)
        address = f"tcp://127.0.0.1:{server.server_port}"
        run(follow_all(address, server, 200))
        before, size = held(), rss()
        run(follow_all(address, server, count))
        wait_until(lambda: no_more_than(before), f"gone: {before} {held()}")
        assert rss() - size < memory(16), rss() - size
"""

UPDATES = """
    import numpy
    from laplace_server.client import ClientLHC

    with make() as server:
        server.declare_stream("s", history_bytes=4 << 20)
        address = f"tcp://127.0.0.1:{server.server_port}"
        with ClientLHC(address, timeout_s=20) as client, client.subscribe("s") as subscription:
            array = numpy.zeros(50_000, "u1")

            def follow(number):
                for i in range(number):
                    server.publish("s", {"i": i, "list": [1.5, {"x": i}]})
                    if i % 50 == 0:
                        server.publish("s", {"a": array, "b": [array[:100]]})
                seq = server.publish("s", {})
                while subscription.next(20).seq != seq:
                    pass

            follow(20_000)
            size = rss()
            follow(count)
            assert rss() - size < memory(16), rss() - size
"""

slow = pytest.mark.slow


def many(count):
    """As many as a machine of one's own does in a minute or two."""
    return int(count / SLOWNESS)


@pytest.mark.timeout(within(200))
@pytest.mark.parametrize(
    ("source", "count"),
    [
        pytest.param(START_STOP, 100, id="100 starts and stops"),
        pytest.param(NEVER_STOPPED, 100, id="100 dropped"),
        pytest.param(ABORTED, 500, id="500 aborted connections"),
        pytest.param(REQUESTS, 20_000, id="20k requests"),
        pytest.param(NEW_DATA, 1_000, id="1k new data"),
        pytest.param(SUBSCRIPTIONS, 200, id="200 subscriptions"),
        pytest.param(ASYNC_CLIENT, 200, id="200 asyncio clients"),
        pytest.param(UPDATES, 50_000, id="50k updates"),
        pytest.param(START_STOP, many(10_000), id="10k starts and stops", marks=slow),
        pytest.param(NEVER_STOPPED, many(5_000), id="5k dropped", marks=slow),
        pytest.param(ABORTED, many(10_000), id="10k aborted connections", marks=slow),
        pytest.param(REQUESTS, many(200_000), id="200k requests", marks=slow),
        pytest.param(NEW_DATA, many(30_000), id="30k new data", marks=slow),
        pytest.param(SUBSCRIPTIONS, many(10_000), id="10k subscriptions", marks=slow),
        pytest.param(ASYNC_CLIENT, many(10_000), id="10k asyncio clients", marks=slow),
        pytest.param(UPDATES, many(2_000_000), id="2M updates", marks=slow),
    ],
)
def test_nothing_stays_behind(source, count):
    run_script(HEAD + source, str(count), timeout_s=within(180))
