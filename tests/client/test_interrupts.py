"""An exception out of a signal handler, such as Ctrl-C, at any line of a client's work.

Lines and instructions are tried in turn; signals come by the thousand. What is interrupted stays
usable, no update is lost or doubled, and `close` returns.
"""

from __future__ import annotations

import sys

import pytest
from support.isolated import run_script

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to this process")

# Raises at one line, or one instruction, of the package; `passed` counts them.
TRACING = """
    import dis, faulthandler, os, sys, threading
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC
    from support.waiting import wait_until

    faulthandler.dump_traceback_later(150, exit=True)
    MARK = f"{os.sep}laplace_server{os.sep}"
    # Handlers run after these only, and where a function begins.
    CHECKED = {n for name, n in dis.opmap.items() if name.startswith(("CALL", "JUMP", "RESUME"))}

    class Interrupt(Exception):
        pass

    class Tracer:
        def __init__(self, kind):
            self.kind = kind

        def at(self, place, work):
            # Whether there is so late a place.
            self.passed, self.place, self.before = 0, place, {}
            # Python 3.12 tells of instructions only where somebody wanted that before.
            sys._getframe().f_trace_opcodes = self.kind == "opcode"
            sys.settrace(self)
            try:
                work()
            except Interrupt:
                pass
            finally:
                sys.settrace(None)
                self.before.clear()  # it would keep what the frames have
            return self.passed >= place

        def __call__(self, frame, event, argument):
            if MARK not in frame.f_code.co_filename:
                return None
            if self.kind == "opcode":
                frame.f_trace_opcodes = True  # lines too: without, 3.13 tells of few
                if event == "opcode":
                    before = self.before.get(frame)
                    self.before[frame] = frame.f_code.co_code[frame.f_lasti]
                    if before is not None and before not in CHECKED:
                        return self
            if event == self.kind:
                self.passed += 1
                if self.passed == self.place:
                    sys.settrace(None)
                    raise Interrupt
            return self
"""

REQUESTS = (
    TRACING
    + """
    def subscribe(client):
        with client.subscribe("s", start="oldest") as updates:
            updates.next(5)

    kind, what, host = sys.argv[1:]
    work = subscribe if what == "subscribe" else ClientLHC.get
    tracer = Tracer(kind)
    with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}) as server:
        server.publish("s", {"n": 1})
        address = f"tcp://{host}:{server.server_port}"
        place, more = 0, True
        while more:
            place += 1
            client = ClientLHC(address, timeout_s=10)
            if what == "again":
                client.get()
            more = tracer.at(place, lambda: work(client))
            assert client.get() == {"x": 1}, place
            closing = threading.Thread(target=client.close)
            closing.start()
            closing.join(10)
            assert not closing.is_alive(), place
            del client
            wait_until(lambda: server.stats().connections == 0, f"nothing is left of {place}")
        assert place > 20
        print(place, "places")
    os._exit(0)
"""
)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("kind", "host"), [("line", "127.0.0.1"), ("line", "localhost"), ("opcode", "127.0.0.1")]
)
@pytest.mark.parametrize("what", ["first", "again", "subscribe"])
def test_a_client_survives_an_interrupt_anywhere(kind: str, what: str, host: str) -> None:
    assert run_script(REQUESTS, kind, what, host, timeout_s=180).endswith(" places\n")


# Each update is taken in one of the ways there are, interrupted at one place after another; those
# that come must be all there are, once. `got.extend` keeps what `next` returned.
UPDATES = (
    TRACING
    + """
    def one():
        for update in updates:
            got.append(update)
            break

    async def take():
        got.append(await updates.next(5.0))

    async def take_all():
        got.extend(await updates.take(5.0))

    WAYS = {
        "asyncio": lambda: loop.run_until_complete(take()),
        "asyncio take": lambda: loop.run_until_complete(take_all()),
        "next": lambda: got.extend(map(updates.next, (5.0,))),
        "take": lambda: deque(map(got.extend, map(updates.take, (5.0,))), 0),
        "__next__": lambda: got.extend(map(next, (updates,))),
        "for": one,
    }
    import asyncio
    from collections import deque
    from laplace_server.client import AsyncClientLHC

    kind, how = sys.argv[1:]
    tracer = Tracer(kind)
    got = []
    number, place, longest = 0, 0, 0
    with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR") as server:
        server.declare_stream("s")
        address = f"tcp://127.0.0.1:{server.server_port}"
        loop = asyncio.new_event_loop() if how.startswith("asyncio") else None
        if loop is None:
            with ClientLHC(address, timeout_s=10) as client:
                updates = client.subscribe("s")
            rest = lambda: got.append(updates.next(10))
        else:
            client = AsyncClientLHC(address, timeout_s=10)
            updates = loop.run_until_complete(client.subscribe("s")._begin())
            rest = lambda: loop.run_until_complete(take())
        quiet = 0
        while quiet < 10:  # each message goes other ways than the one before
            place += 1
            for _ in range(1 + place % 2):
                number = server.publish("s", {"n": 1})
            quiet = 0 if tracer.at(place, WAYS[how]) else quiet + 1
            if not quiet:
                longest = place
            while len(got) < number:
                rest()
            assert [each.seq for each in got] == list(range(1, number + 1)), place
            assert updates.lost == 0
        if loop is None:
            tracer.at(7, updates.close)
            updates.close()
        else:
            tracer.at(7, lambda: loop.run_until_complete(updates.close()))
            loop.run_until_complete(updates.close())
            loop.run_until_complete(client.close())
            loop.close()
    assert longest > 10, longest  # a dozen opcodes take one that is there
    print(longest, "places")
"""
)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("how", ["next", "take", "__next__", "for", "asyncio", "asyncio take"])
@pytest.mark.parametrize("kind", ["line", "opcode"])
def test_no_update_is_lost_by_an_interrupt_anywhere(kind: str, how: str) -> None:
    assert run_script(UPDATES, kind, how, timeout_s=180).endswith(" places\n")


# Signals at random moments, thousands of which hit the package's own code.
STORM = """
    import faulthandler, os, random, signal, sys, threading, time
    from collections import deque
    from laplace_server import ServerLHC
    from laplace_server.client import ClientLHC

    faulthandler.dump_traceback_later(150, exit=True)
    MARK = f"{os.sep}laplace_server{os.sep}"
    HITS = 2500
    what, longest_us = sys.argv[1], float(sys.argv[2])
    chance = random.Random(what)

    class Interrupt(Exception):
        pass

    hits, armed = 0, False

    def handler(number, frame):
        global hits
        if not armed:
            return
        arm()
        while frame is not None:
            if MARK in frame.f_code.co_filename:
                hits += 1
                raise Interrupt
            frame = frame.f_back

    def arm():
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(5, longest_us) / 1e6)

    def until_done(work):
        while True:
            try:
                return work()
            except Interrupt:
                pass

    def publish():
        n = 0
        while not done.is_set():
            n += 1
            server.publish("s", {"n": n})
            done.wait(0.001 if n % 10 == 0 else 0)
        server.publish("s", {"n": 0})

    # Each appends by a call that no handler interrupts: what was returned is the caller's.
    WAYS = {
        "next": lambda: got.extend(map(updates.next, (1.0,))),
        "take": lambda: deque(map(got.extend, map(updates.take, (1.0,))), 0),
        "for": lambda: got.extend(updates),
        "get": lambda: got.extend(map(ClientLHC.get, (client,))),
        "subscribe": lambda: got.extend(map(client.subscribe, ("s",))),
    }
    signal.signal(signal.SIGALRM, handler)
    done = threading.Event()
    got = []
    with ServerLHC("device", "tcp://127.0.0.1:*", 1, "MOTOR", {"x": 1}) as server:
        server.declare_stream("s")
        client = ClientLHC(f"tcp://127.0.0.1:{server.server_port}", timeout_s=20)
        updates = client.subscribe("s")
        publishing = threading.Thread(target=publish, daemon=True)
        publishing.start()
        armed = True
        arm()
        while hits < HITS:
            try:
                WAYS[what]()
            except Interrupt:
                pass
            if what == "subscribe" and got:
                until_done(got.pop().close)
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        done.set()
        publishing.join()
        if what in ("next", "take", "for"):
            while not got or got[-1].data["n"]:
                got.append(updates.next(20))
            assert [each.seq for each in got] == list(range(1, len(got) + 1))
            assert updates.lost == 0
            assert updates.ended == ()
        assert client.get() == {"x": 1}
        updates.close()
        client.close()
    print(hits, "hits")
"""


@pytest.mark.timeout(200)
@pytest.mark.parametrize("longest_us", [200, 2000])
@pytest.mark.parametrize("what", ["next", "take", "for", "get", "subscribe"])
def test_thousands_of_random_signals(what: str, longest_us: int) -> None:
    # What Python cannot raise, such as out of a destructor, it writes to standard error.
    assert run_script(STORM, what, str(longest_us), timeout_s=180).endswith(" hits\n")
