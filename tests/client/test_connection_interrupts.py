"""A client's own connection: signals whose handlers raise, at any moment."""

from __future__ import annotations

import sys

import pytest
from support.isolated import run_script

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals to this process"),
    pytest.mark.transports(),
]

BEGIN = """
    import itertools, random, signal, sys, threading, time
    from functools import partial
    from support.raw_listeners import RawListener, message
    from laplace_server.client._frames import DEALER, REQ, Connection

    class Interrupt(Exception):
        pass

    raised = 0

    def handle(number, frame):
        # Only where the package is at work, or the test would lose count itself.
        global raised, armed
        if armed:
            armed = False
            raised += 1
            raise Interrupt

    armed = False
    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)

    def at_work(call):
        # One call, interrupted or not.
        global armed
        try:
            armed = True
            call()
            armed = False
        except Interrupt:
            pass

    listener = RawListener()
    connect = partial(Connection, host="127.0.0.1", port=listener.port)

    def finish(word):
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        print(word)

    def opened():
        made = []
        while not made:
            at_work(lambda: made.extend(map(connect, (DEALER,))))
        end = listener.accept()
        while not made[0].connected:
            at_work(lambda: made[0].wait(1.0))
        end.open()
        while not made[0].ready:
            at_work(lambda: made[0].wait(1.0))
        return made[0], end
"""

RECEIVING = (
    BEGIN
    + """
    generator = random.Random(14)
    connection, end = opened()
    sizes = [generator.choice([0, 1, 100, 3000, 9000, 70000, 500000]) for _ in range(3000)]

    def send():
        for number, size in enumerate(sizes):
            end.send(message(b"%d" % number, bytes(size)))
            if size > 9000:
                time.sleep(0.0005)

    sender = threading.Thread(target=send)
    sender.start()
    got = []
    take = partial(connection.receive, 0.0)
    while len(got) < len(sizes):
        at_work(lambda: (connection.wait(5.0), got.extend(iter(take, None))))
    sender.join()
    assert [frames[0] for frames in got] == [b"%d" % number for number in range(len(sizes))]
    assert [len(frames[1]) for frames in got] == sizes
    connection.close()
    assert raised > 500, raised
    finish("all came once")
"""
)

SENDING = (
    BEGIN
    + """
    generator = random.Random(14)
    connection, end = opened()
    sent, got = [], []

    def read():
        while not got or got[-1] != [b"the end"]:
            got.append(end.read_message())

    reader = threading.Thread(target=read)
    reader.start()
    # `extend` keeps what was sent: nothing comes between a call of it and its note.
    for number in range(2000):
        body = bytes(generator.choice([0, 1, 100, 3000, 20000, 300000]))
        frames = [b"%d" % number, body]

        note = partial(itertools.compress, (number,), map(connection.send, (frames,)))
        at_work(lambda: sent.extend(note()))
        if number % 3 == 0:
            at_work(lambda: connection.wait(0.0))
        while connection.unsent > 5_000_000:
            at_work(lambda: connection.wait(5.0))
    while connection.unsent:
        at_work(lambda: connection.wait(5.0))
    assert connection.send([b"the end"])
    reader.join()
    assert [frames[0] for frames in got[:-1]] == [b"%d" % number for number in sent]
    connection.close()
    assert raised > 100, raised
    finish("all left once")
"""
)

OPENING = (
    BEGIN
    + """
    import gc, os

    def descriptors():
        return len(os.listdir("/dev/fd"))

    before = descriptors()
    ends, closed = [], 0
    for _ in range(1500):
        made = []
        at_work(lambda: made.extend(map(connect, (REQ,))))
        if not made:
            continue
        connection = made[0]
        at_work(lambda: connection.send([b"", b"x" * random.choice([10, 100_000])]))
        at_work(lambda: connection.receive(0.0005))
        at_work(lambda: connection.wait(0.0005))
        at_work(lambda: connection.close(random.choice([0.0, 0.001])))
        connection.close()
        assert connection.fileno() == -1
        closed += 1
        if closed % 50 == 0:
            for _ in range(50):
                listener.accept().socket.close()
            listener._accepted.clear()
    gc.collect()
    listener.__exit__()
    assert descriptors() <= before, (descriptors(), before)
    assert closed > 500 and raised > 500, (closed, raised)
    finish("none is left open")
"""
)

HANDLERS = (
    BEGIN
    + """
    # Handlers that use the connection itself, while the main thread waits in it; and one another.
    connection, end = opened()
    numbers = itertools.count()

    def use(number, frame):
        assert connection.ready
        assert connection.send([b"", b"%d" % next(numbers)])
        got.extend(iter(partial(connection.receive, 0.0), None))

    got = []
    signal.signal(signal.SIGALRM, use)

    def echo():
        while True:
            frames = end.read_message()
            if frames == [b"the end"]:
                return
            end.send(message(*frames))

    echoing = threading.Thread(target=echo)
    echoing.start()
    while len(got) < 2000:
        got.extend(map(connection.receive, (1.0,)))
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    uses = next(numbers)
    while len([each for each in got if each]) < uses:
        got.extend(map(connection.receive, (1.0,)))
    assert sorted(int(frames[1]) for frames in got if frames) == list(range(uses))
    # One that closes it, while it is waited in.
    signal.signal(signal.SIGALRM, lambda *_: (connection.send([b"the end"]), connection.close(1.0)))
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    assert connection.receive(20.0) is None
    assert connection.broken and connection.trouble == "it was closed"
    echoing.join()
    print("used", uses > 1000)
"""
)


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        (RECEIVING, "all came once\n"),
        (SENDING, "all left once\n"),
        (OPENING, "none is left open\n"),
        (HANDLERS, "used True\n"),
    ],
    ids=["receiving", "sending", "opening and closing", "handlers that use it"],
)
def test_signals_by_the_thousand(script: str, wanted: str) -> None:
    assert run_script(script, timeout_s=100) == wanted


LONELY = """
    import itertools, signal, sys, threading, time
    from support.raw_listeners import RawListener, opened

    # A signal that another thread was given: Python's handlers run in the main one all the same.
    class Interrupt(Exception):
        pass

    def handle(*_):
        raise Interrupt

    signal.signal(signal.SIGUSR1, handle)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    begun, heard = threading.Event(), threading.Event()

    def take_it():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        assert begun.wait(20)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    def keep_it_busy(end, what):
        if what == "receiving":
            end.send(b"\\x02" + (1 << 28).to_bytes(8, "big"))
        for step in itertools.count():
            if step == 20:
                begun.set()
            if heard.wait(0.01):
                return
            if what == "receiving":
                end.send(bytes(20_000))
            elif what == "sending":
                end.socket.recv(200_000)

    with RawListener() as listener:
        connection, end = opened(listener)
        if sys.argv[1] == "sending":
            assert connection.send([bytes(1 << 30)])
        others = [threading.Thread(target=take_it)]
        others.append(threading.Thread(target=keep_it_busy, args=(end, sys.argv[1])))
        for each in others:
            each.start()
        before = time.monotonic()
        try:
            connection.receive(20.0)
        except Interrupt:
            print("heard", time.monotonic() - before < 10)
        heard.set()
        for each in others:
            each.join()
        connection.close()
"""


@pytest.mark.parametrize("what", ["nothing", "receiving", "sending"])
def test_a_signal_that_wakes_another_thread_is_heard(what: str) -> None:
    """Also while a large frame comes or leaves, piece by piece."""
    assert run_script(LONELY, what) == "heard True\n"
