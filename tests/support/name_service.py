"""Host names for tests: what the system's look-up says of them, and when."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest
from support.machine import within


class NameService:
    """Answers for names that end in ``.lab``; the system answers for all others.

    ``hosts`` has the addresses of each name. What is not in it is not known, and what is an
    exception is raised. While ``held``, look-ups wait.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hosts: dict[str, list[str] | Exception] = {}
        self.asked: list[str] = []
        self._changed = threading.Condition()
        self._held = False
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def hold(self) -> None:
        """From now on, look-ups wait, as for a server of names that does not answer."""
        self._held = True

    def let_go(self) -> None:
        with self._changed:
            self._held = False
            self._changed.notify_all()

    def wait_asked(self, count: int = 1) -> None:
        """Wait until so many look-ups have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, within(20))

    def _look_up(self, host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        if not host.rstrip(".").endswith(".lab"):
            return self._system(host, port, *arguments, **options)
        with self._changed:
            self.asked.append(host)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: not self._held, within(60))
        found = self.hosts.get(host, socket.gaierror(socket.EAI_NONAME, "Name not known"))
        if isinstance(found, Exception):
            raise found
        return [_entry(address) for address in found]


def _entry(address: str) -> tuple[Any, ...]:
    v6 = ":" in address
    sockaddr = (address, 0, 0, 0) if v6 else (address, 0)
    family = socket.AF_INET6 if v6 else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", sockaddr
