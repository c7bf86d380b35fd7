"""A network of its own for a process, whose packets are dropped when somebody says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator


class NetworkUnavailable(Exception):
    """This system or user may not make one; the text says why."""


class OtherNetwork:
    """That of one other "machine"; ``before`` is the command that runs a program there.

    ``ours`` and ``theirs`` are the IPv4 addresses of the two ends.
    """

    def __init__(self, name: str, ours: str, theirs: str) -> None:
        self.ours, self.theirs = ours, theirs
        self.before = ("ip", "netns", "exec", name)
        self._name = name

    def cut_off(self) -> None:
        """From now on nothing that either side sends arrives."""
        self._set("down")

    def come_back(self) -> None:
        """From now on all arrives again."""
        self._set("up")

    def _set(self, state: str) -> None:
        ip("-n", self._name, "link", "set", f"{self._name}b", state)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@contextlib.contextmanager
def other_network() -> Iterator[OtherNetwork]:
    """Make one, for a block.

    Raises:
        NetworkUnavailable: it takes Linux, root and the command ``ip``.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise NetworkUnavailable("may not make a network namespace")
    # A network of four addresses for each process: what another run, or one that was killed, has
    # left behind would take the packets.
    network = os.getpid() % (1 << 14) * 4
    ours, theirs = (f"10.199.{network >> 8}.{(network & 255) + host}" for host in (1, 2))
    name = f"lh{os.getpid() % 100_000}"
    with contextlib.ExitStack() as stack:
        try:
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", f"{name}b", "netns", name)
            # The kernel may keep the namespace, and its end with it, for a connection's sake.
            stack.callback(ip, "link", "del", f"{name}a")
            ip("addr", "add", f"{ours}/30", "dev", f"{name}a")
            ip("link", "set", f"{name}a", "up")
            ip("-n", name, "addr", "add", f"{theirs}/30", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
        except subprocess.CalledProcessError as problem:
            raise NetworkUnavailable(
                f"may not make a network namespace: {problem.stderr!r}"
            ) from problem
        yield OtherNetwork(name, ours, theirs)
