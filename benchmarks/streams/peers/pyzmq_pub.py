"""Plain pyzmq: an XPUB and SUB sockets, with orjson for the JSON, one message for each update.

An array is a frame of its own, received without a copy, and copied or not when it is sent, as the
work says. XPUB is PUB that also tells of its subscribers; told to wait, it does not drop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import zmq
from orjson import dumps, loads

from benchmarks.common.curve import ask_over_curve, serve_over_curve
from benchmarks.streams.work import SHAPE, StreamWork, Take, queue_length

REQUIREMENT = "pyzmq==27.3.0 orjson==3.13.0"
CANNOT: dict[str, str] = {}


class PyzmqProducer:
    """The XPUB."""

    def __init__(self, work: StreamWork) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        if work.real_time:
            context.set(zmq.THREAD_SCHED_POLICY, os.SCHED_RR)
            context.set(zmq.THREAD_PRIORITY, 1)
        self._socket: zmq.Socket[bytes] = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._socket.setsockopt(zmq.XPUB_NODROP, int(work.waits))
        self._socket.setsockopt(zmq.SNDHWM, queue_length(work))
        if work.curve:
            serve_over_curve(self._socket)
        port: int = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.address = f"tcp://127.0.0.1:{port}"
        self._there = 0
        self._copy = not work.given
        self.publish = self._publish_image if work.images else self._publish

    def publish_numbers(self, shots: range) -> None:
        send = self._socket.send
        for shot in shots:
            send(dumps({"x": 0.5 * shot, "shot": shot}))

    def _publish(self, data: dict[str, Any]) -> None:
        self._socket.send(dumps(data))

    def _publish_image(self, data: dict[str, Any]) -> None:
        image = data.pop("image")
        self._socket.send(dumps(data), zmq.SNDMORE)
        self._socket.send(image, copy=self._copy)

    def subscribers(self) -> int:
        while self._socket.poll(0):
            self._there += 1 if self._socket.recv()[0] else -1
        return self._there


def produce(work: StreamWork) -> PyzmqProducer:
    """Bind the socket."""
    return PyzmqProducer(work)


def subscribe(address: str, work: StreamWork, ready: Callable[[], None], take: Take) -> int | None:
    """Receive to the end; nobody tells of losses."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, queue_length(work))
    socket.subscribe(b"")
    if work.curve:
        ask_over_curve(socket)
    socket.connect(address)
    ready()
    take(_images(socket) if work.images else _updates(socket))
    return None


def _updates(socket: zmq.Socket[bytes]) -> Iterator[dict[str, Any]]:
    while True:
        yield loads(socket.recv())


def _images(socket: zmq.Socket[bytes]) -> Iterator[dict[str, Any]]:
    import numpy

    while True:
        data = loads(socket.recv())
        data["image"] = numpy.frombuffer(socket.recv(copy=False).buffer).reshape(SHAPE)
        yield data
