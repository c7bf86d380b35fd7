"""Fuzz target of a stream's client side: whatever a server sends, a plain second reader makes the
same of it; each update comes once, and those received and lost are all there were.

python tests/fuzz/updates_fuzz.py [--seconds N] [--seed S] [FILE ...]

As the C++ targets' own main() (engine.h): a FILE has inputs in hex. An input is a row of steps,
each a byte of what to do and what that needs.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import struct
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from fuzz.plain_subscriber import PlainSubscriber  # noqa: E402
from support.protocol_scene import Scene  # noqa: E402
from support.stream_messages import ALIVE, END, UNKNOWN, UPDATES, answer, header, word  # noqa: E402

from laplace_server.client.subscription_steps import State  # noqa: E402

LOOSE = 5
MOST_BYTES = 512
FIRST_EPOCH = 7
DELTAS = (0, 0, 0, 0, 0, 3, -1, -4, 1, 40)
"""How far the first update of a message is from where the last one ended."""
KINDS = (UPDATES, UPDATES, UPDATES, LOOSE, ALIVE, END, UNKNOWN, 16)
TEXTS = (b"[{}]", b"[{},{}]", b"[1]", b'{"n":1}', b'[{"x":NaN}]', b"[[{},[]]]", b"[" * 2000)


class Broken(AssertionError):
    """An input for which something does not hold."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class Steps:
    """An input, byte by byte; zeros behind its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def byte(self) -> int:
        return (self.bytes(1) or b"\0")[0]

    def bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]


def array_frames(first: int, count: int, epoch: int, subscription: int) -> list[bytes]:
    """An update with so many arrays."""
    described = [{"path": [str(n)], "dtype": "<f8", "shape": [2]} for n in range(count)]
    text = json.dumps([{"n": first}, described]).encode()
    head = header(
        UPDATES,
        first=first,
        count=1,
        last=first,
        arrays=count,
        epoch=epoch,
        subscription=subscription,
    )
    return [b"", head + struct.pack("<d", first) + text, *[bytes(16)] * count]


class Check:
    """A subscription, its second reader, and a server that says what the input tells it to."""

    def __init__(self, data: bytes) -> None:
        self.steps = Steps(data)
        self.scene = Scene(granted=False)
        self.plain = PlainSubscriber()
        self.epoch = FIRST_EPOCH
        self.came: list[tuple[Any, ...]] = []

    def run(self) -> bool:
        """Whether updates came."""
        self.subscribe(1, 0)
        while self.steps:
            self.step(self.steps.byte())
            self.compare()
        keys = [(epoch, number) for number, epoch, *_ in self.came]
        demand(len(keys) == len(set(keys)), "an update comes twice")
        for epoch, first, received, lost, last, _ in self.scene.ended:
            demand(received + lost == last - first + 1, "received and lost are not all")
            demand(received == sum(epoch == each for each, _ in keys), "others were received")
        return bool(keys)

    def step(self, what: int) -> None:
        kind = what % 8
        if kind < 4:
            self.take(self.message(what >> 4))
        elif kind == 4:
            self.take(self.changed(self.message(what >> 4)))
        elif kind == 5:
            self.take([self.steps.bytes(self.steps.byte()) for _ in range(what >> 5)])
        elif kind == 6:
            self.epoch = FIRST_EPOCH + what // 64
        else:
            self.again()

    def message(self, how: int) -> list[bytes]:
        """By the rules, but for where it begins."""
        steps, plain = self.steps, self.plain
        kind = KINDS[steps.byte() % len(KINDS)]
        first = max(1, plain.position + DELTAS[steps.byte() % len(DELTAS)])
        if kind not in (UPDATES, LOOSE):
            last = max(0, first - 1)
            return word(kind, first=first, last=last, epoch=self.epoch, subscription=plain.number)
        if how == 0:
            return array_frames(first, steps.byte() % 4, self.epoch, plain.number)
        count = steps.byte() % 5
        text = json.dumps([{"n": n} for n in range(first, first + count)]).encode()
        if how == 1:
            text = TEXTS[steps.byte() % len(TEXTS)]
        if how == 2:
            text = steps.bytes(steps.byte())
        last = first + count + steps.byte() % 3 - 1
        fields = {"first": first, "count": count, "last": last, "epoch": self.epoch}
        head = header(kind, subscription=plain.number, **fields)
        times = struct.pack(f"<{count}d", *range(first, first + count))
        return [b"", head + times + text]

    def changed(self, frames: list[bytes]) -> list[bytes]:
        """The message with a byte of its body changed, or its end cut, or other frames."""
        steps = self.steps
        how, where, with_ = steps.byte() % 5, steps.byte(), steps.byte()
        body = bytearray(frames[1])
        if how < 2:
            body[where % (80 if how == 0 and len(body) > 80 else len(body))] ^= with_
        elif how == 2:
            del body[where:]
        elif how == 3:
            return [*frames, bytes(with_)]
        else:
            return [bytes(with_), *frames[1:]]
        return [frames[0], bytes(body), *frames[2:]]

    def take(self, frames: list[bytes]) -> None:
        self.scene.take(frames)
        found = [tuple(update) for update in self.scene.protocol.batch]
        expected = self.plain.take(frames)
        demand(repr(found) == repr(expected), f"{found} instead of {expected}")
        self.came += found

    def subscribe(self, following: int, last: int) -> None:
        self.scene.ask()
        self.plain.asked()
        self.scene.take(answer(epoch=self.epoch, next=following, last=last))
        self.plain.granted(self.epoch, following, last)

    def again(self) -> None:
        """The connection breaks, and it subscribes again."""
        if self.scene.state is State.FOLLOWING:
            self.scene.gone()
            self.plain.follows = False
        self.scene.now += 10
        following = self.plain.position + self.steps.byte() % 3
        self.subscribe(following, following - 1 + self.steps.byte() % 3)

    def compare(self) -> None:
        ledger, plain = self.scene.protocol.ledger, self.plain
        life = ledger.life
        demand((self.scene.state is State.FOLLOWING) == plain.follows, "another state")
        numbers = (ledger.position, ledger.lost, ledger.last, ledger.messages, ledger.size)
        expected = (plain.position, plain.lost, plain.last, plain.messages, plain.size)
        demand(numbers == expected, f"ledger {numbers} instead of {expected}")
        demand(
            (life.epoch, life.first, life.over) == (plain.epoch, plain.first, plain.over), "life"
        )
        demand([tuple(each) for each in life.ended] == plain.ended, "another account of what ended")


WORDS = tuple(
    bytes.fromhex(step)
    for step in (
        *("3000000200", "3000000300", "3000050202", "3000060201", "3003000200", "00000002"),
        *("300400", "300500", "300600", "300700", "06", "46", "86", "070000", "070102"),
        *("3400000200000c01", "3400000200025000", "3400000200040005", "3400000200030003"),
        *("04000002030010", "100000010500", "1003000104", "2000000109" + b'[{"a":1}]'.hex()),
        "450040" + header(UPDATES).hex(),
    )
)
"""Steps, as `Check.step` reads them."""


def mutated(data: bytes, inputs: Sequence[bytes], chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        what = chance.choice([*WORDS, chance.randbytes(1), chance.choice(inputs)[:32]])
        data = data[:at] + what + data[at + chance.choice([0, 0, 1, len(what)]) :]
    return data[:MOST_BYTES]


def check(data: bytes) -> bool:
    """Whether updates came; prints the input in hex where something does not hold."""
    try:
        return Check(data).run()
    except BaseException:
        print(f"broken by this input, {len(data)} bytes in hex: {data.hex()}", flush=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz a stream's client side.")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    logging.getLogger("laplace.client").setLevel(logging.CRITICAL)
    inputs = [bytes.fromhex(line) for file in options.files for line in file.read_text().split()]
    inputs += [b"".join(WORDS), b""]
    decide: Callable[[bytes], bool] = check
    done, counted = len(inputs), sum(map(decide, inputs))
    chance = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        counted += check(mutated(chance.choice(inputs), inputs, chance))
        done += 1
    print(f"{done} inputs, {counted} of them with updates, nothing broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
