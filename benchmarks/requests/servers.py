"""Starts the servers that are compared."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from benchmarks.common.curve import SERVER_SECRET
from benchmarks.common.native import compiled, libzmq
from benchmarks.common.processes import Server, python, running, spinning
from benchmarks.common.suite import Peer
from benchmarks.requests.work import Work, reply_of

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from support.original import original_path

ORIGINAL, RAW, ECHO = "0.2.0", "raw", "echo"


@dataclass(frozen=True)
class RequestPeer(Peer):
    """A server to compare."""

    speaks_zeromq: bool = False

    package: ClassVar = "benchmarks.requests.peers"

    @property
    def path(self) -> str:
        """What stands first on the import path of its process; empty: nothing does."""
        return str(original_path()) if self.name == ORIGINAL else ""

    def start(self, work: Work) -> AbstractContextManager[Server]:
        """Return a context manager that runs the server."""
        if not self.module:
            return compiled_server(COMMANDS[self.name], work)
        arguments = ["serve", self.module, json.dumps(asdict(work))]
        return running(python("benchmarks.requests.process", *arguments), self.path)

    def version(self) -> str:
        """Version of what is measured."""
        return ORIGINAL if self.name == ORIGINAL else super().version()


def raw(reply: Path, _work: Work) -> list[str]:
    """Return the command of what answers over plain TCP."""
    return [compiled("raw"), str(reply)]


def echo(reply: Path, work: Work) -> list[str]:
    """Return the command of what answers over libzmq, with the same bytes."""
    key = [SERVER_SECRET] if work.curve else []
    return [compiled("echo"), libzmq(), str(reply), *key]


Command = Callable[[Path, Work], list[str]]
COMMANDS: Mapping[str, Command] = {RAW: raw, ECHO: echo}


@contextmanager
def compiled_server(command: Command, work: Work) -> Iterator[Server]:
    """Run one that answers with the same bytes as ours, a spinning process for company if busy."""
    with ExitStack() as stack:
        reply = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "reply"
        reply.write_bytes(reply_of(work))
        if work.busy:
            stack.enter_context(spinning())
        yield stack.enter_context(running(command(reply, work)))
