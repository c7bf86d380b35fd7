"""Clients with keys, and signals whose handlers raise, at any moment.

libzmq ends a connection on which something comes twice, or out of order, or not sealed.
"""

from __future__ import annotations

import sys

import pytest
from support.isolated import run_script

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals to this process"),
    pytest.mark.transports("tcp"),
]

SIGNALS = """
    import itertools, random, signal
    from functools import partial

    class Interrupt(Exception):
        pass

    raised = 0
    armed = False

    def handle(number, frame):
        # Only where the package is at work, or the test would lose count itself. A connection takes
        # its time, so the next may be a while off.
        global raised, armed
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.005))
        if armed:
            armed = False
            raised += 1
            raise Interrupt

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001)

    def at_work(call):
        # One call, interrupted or not.
        global armed
        try:
            armed = True
            call()
            armed = False
        except Interrupt:
            pass

    def finish(word):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        print(word)
"""

CONNECTION = (
    SIGNALS
    + """
    from support.curve import Curve
    from support.scripted_server import ScriptedServer
    from laplace_server.client._frames import DEALER, Connection

    curve = Curve(heartbeat_ms=5)
    generator = random.Random(15)
    sizes = [generator.choice([0, 1, 100, 3000, 9000, 70000, 500000]) for _ in range(1500)]
    bodies = [(b"%d " % number).ljust(size, b"x") for number, size in enumerate(sizes)]
    with ScriptedServer(lambda body: [[b"", body, b""]], curve=curve) as server:
        port = int(server.address.rpartition(":")[2])
        made = []
        while not made:
            at_work(lambda: made.extend(map(Connection, (DEALER,), ("127.0.0.1",), (port,),
                                            (curve.keys(),))))
        (connection,) = made
        sent, got = [], []
        take = partial(connection.receive, 0.0)
        for number, body in enumerate(bodies):
            # `extend` keeps what was sent: nothing comes between a call of it and its note.
            note = partial(itertools.compress, (body,), map(connection.send, ([b"", body],)))
            at_work(lambda: sent.extend(note()))
            while len(sent) - len(got) > 100 or connection.unsent > 1_000_000:
                at_work(lambda: (connection.wait(5.0), got.extend(iter(take, None))))
                assert not connection.broken, connection.trouble
        while len(got) < len(sent):
            at_work(lambda: (connection.wait(5.0), got.extend(iter(take, None))))
            assert not connection.broken, connection.trouble
        finish("as it was said")
        assert len(sent) > 1000
        assert got == [[b"", body, b""] for body in sent]
        assert raised > 50, raised
        connection.close()
    """
)

CLIENTS = (
    SIGNALS
    + """
    from support.peers import address_of
    from support.secure import Lab
    from laplace_server.client import ClientLHC

    lab = Lab()
    with lab.serving(data={"text": "x" * 300_000}) as server:
        server.declare_stream("s")
        for n in range(1, 4001):
            server.publish("s", {"n": n, "pad": "p" * (n % 50)})
        security = lab.client("view")
        with ClientLHC(address_of(server), timeout_s=20.0, security=security) as client:
            good = []
            while len(good) < 300:
                at_work(lambda: good.append(client.get()))
            assert all(each == {"text": "x" * 300_000} for each in good)
            subscriptions = []
            while not subscriptions:
                at_work(lambda: subscriptions.append(client.subscribe("s", start="oldest")))
            (subscription,) = subscriptions
            numbers = []
            while len(numbers) < 4000:
                # `extend` keeps each that came before an interrupt.
                at_work(lambda: numbers.extend(
                    each.seq for each in itertools.islice(subscription, 4000 - len(numbers))))
            assert numbers == list(range(1, 4001)), len(numbers)
            finish("each once")
            subscription.close()
    assert raised > 50, raised
    """
)


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("script", "word"),
    [(CONNECTION, "as it was said"), (CLIENTS, "each once")],
    ids=["connection", "clients"],
)
def test_thousands_of_signals(script: str, word: str) -> None:
    assert run_script(script, timeout_s=180) == f"{word}\n"
