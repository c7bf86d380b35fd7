"""An exception out of a signal handler anywhere in an event loop, also in its own code.

The loop is given up then, as a program does that ends by Ctrl-C, and the next one goes on with the
same client and the same subscription: no request runs twice, no update is lost or doubled.
"""

from __future__ import annotations

import sys

import pytest
from support.isolated import run_script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")

STORM = """
    import asyncio, faulthandler, gc, logging, os, random, signal, sys, threading
    from laplace_server import ServerLHC
    from laplace_server.client import AsyncClientLHC
    from support.waiting import wait_until

    faulthandler.dump_traceback_later(150, exit=True)
    logging.getLogger("asyncio").disabled = True  # tells of tasks that are given up
    OURS = f"{os.sep}laplace_server{os.sep}"
    LOOPS = f"{os.sep}asyncio{os.sep}", f"{os.sep}selectors.py"
    what, longest_us = sys.argv[1], float(sys.argv[2])
    chance = random.Random(what)

    class Interrupt(KeyboardInterrupt):
        pass

    hits = {"ours": 0, "loop's": 0}
    armed = False

    def handler(number, frame):
        if not armed:
            return
        name = frame.f_code.co_filename
        whose = "ours" if OURS in name else "loop's" if any(each in name for each in LOOPS) else ""
        if whose:
            hits[whose] += 1
            arm(0.05)  # where nobody hears of this one, such as in a destructor
            raise Interrupt
        arm(chance.uniform(5, longest_us) / 1e6)

    def arm(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)

    async def take():
        while True:
            got.append(await updates.next(20))

    async def ask():
        while True:
            asked.append(len(asked))
            got.append((await client.request("COUNT", {"n": asked[-1]}))["n"])

    def count(server, message, target):
        ran.append(message["payload"]["n"])
        return message["payload"]

    def publish():
        n = 0
        while not done.is_set():
            n += 1
            server.publish("s", {"n": n})
            done.wait(0.001 if n % 10 == 0 else 0)
        server.publish("s", {"n": 0})

    async def end():
        if what == "take":
            while not got or got[-1].data["n"]:
                got.append(await updates.next(20))
        assert (await client.get()) == {"x": 1}
        await updates.close()
        await client.close()

    signal.signal(signal.SIGALRM, handler)
    done = threading.Event()
    got, asked, ran = [], [], []
    with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}) as server:
        server.declare_stream("s")
        server.register_handler("COUNT", count)
        client = AsyncClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=20)
        updates = client.subscribe("s")
        asyncio.run(updates._begin())
        publishing = threading.Thread(target=publish, daemon=True)
        publishing.start()
        while sum(hits.values()) < 2000:
            loop = asyncio.new_event_loop()
            task = loop.create_task({"take": take, "ask": ask}[what]())
            armed = True
            arm(chance.uniform(5, longest_us) / 1e6)
            try:
                loop.run_until_complete(task)
            except Interrupt:
                pass
            finally:
                armed = False
            loop.close()
            del task
        signal.setitimer(signal.ITIMER_REAL, 0)
        done.set()
        publishing.join()
        asyncio.run(end())
        gc.collect()  # a connection in the making belongs to its loop, whose parts form a cycle
        wait_until(lambda: server.stats().connections == 0, "nothing is left")
        if what == "take":
            assert [each.seq for each in got] == list(range(1, len(got) + 1))
            assert updates.lost == 0
            assert updates.ended == ()
        else:
            assert got == sorted(set(got))
            assert len(ran) == len(set(ran))
            assert set(got) <= set(ran) <= set(asked)
    assert min(hits.values()) > 50, hits
    print("survived")
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("longest_us", [300, 3000])
@pytest.mark.parametrize("what", ["take", "ask"])
def test_hundreds_of_loops_given_up(what: str, longest_us: int) -> None:
    assert run_script(STORM, what, str(longest_us), timeout_s=180) == "survived\n"
