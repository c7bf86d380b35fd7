"""Begins connections, of the kind that a loop can have."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

import zmq

from laplace_server.client._frames import ClientKeys
from laplace_server.client.asyncio.inbox import Inbox
from laplace_server.client.asyncio.transport_connection import TransportConnection
from laplace_server.client.asyncio.watched_connection import WatchedConnection, watches

Connection: TypeAlias = WatchedConnection | TransportConnection


def connect(
    socket_type: int,
    endpoint: str,
    keys: ClientKeys | None,
    inbox: Inbox | None = None,
    numbers: Iterator[int] | None = None,
) -> Connection:
    """Begin to connect to a numeric address.

    Args:
        keys: of the client and the server.
        inbox: where the messages that come are put; None: one of its own.
        numbers: of those messages.

    Raises:
        ZMQError: the system has no descriptors left, or forbids it, or has no such interface.
    """
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    kind = WatchedConnection if watches(asyncio.get_running_loop()) else TransportConnection
    inbox = deque() if inbox is None else inbox
    numbers = itertools.count() if numbers is None else numbers
    try:
        return kind(socket_type, host.strip("[]"), int(port), keys, inbox, numbers)
    except OSError as problem:
        raise zmq.ZMQError(problem.errno, problem.strerror) from None
    except ValueError:  # of what stands behind the %: the interface may come yet
        raise zmq.ZMQError(errno.ENODEV, os.strerror(errno.ENODEV)) from None
