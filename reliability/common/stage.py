"""A device under watch: witnesses that ask and follow, a prober, and the accounts of all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from reliability.common import journal
from reliability.common.cast import Cast, Found
from reliability.common.journal import Published
from reliability.common.program import PATIENCE_S, Program, ProgramFault
from reliability.common.resources import Resources
from reliability.common.setting import Keys, Setting

T = TypeVar("T")

KINDS = ("sync", "asyncio")


class Stage:
    """Runs them for a block; ``finish`` says what was found.

    Args:
        setting: how they talk.
        folder: for what they write.
        cast: who they are.
    """

    def __init__(self, setting: Setting, folder: Path, cast: Cast | None = None) -> None:
        self.setting = setting
        self.cast = cast or Cast()
        self.keys = Keys() if setting.secured else None
        self.address = ""
        self.outage_s = 0.0
        """For how long in all the device was made not to answer."""
        self.before: Resources | None = None
        self.faults: list[str] = []
        self.witnesses: list[Program] = []
        self.device: Program
        self._folder = folder
        self._open = contextlib.ExitStack()
        self._lives = 0
        self._outcomes: dict[int, Path] = {}
        self._watched: list[int] = []

    # ---- its beginning

    def __enter__(self) -> Stage:
        self._folder.mkdir(parents=True)
        with contextlib.ExitStack() as opened:
            opened.enter_context(self._open)
            self.start_device()
            self.prober = self.keep(self.helper("prober", pause_s=0.005))
            self._ready(self.prober)
            for kind in KINDS:
                self.add_witness(kind)
            opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def _ready(self, program: Program) -> None:
        if not program.hear()["ready"]:
            raise ProgramFault(f"{program.name} got no answer or no update")

    def client_keys(self) -> dict[str, str] | None:
        """Return the keys of those on the stage, as roles take them."""
        return None if self.keys is None else self.keys.of_client()

    @property
    def server_port(self) -> int:
        """The device's port."""
        return int(self.address.rpartition(":")[2])

    # ---- the device

    def start_device(self) -> None:
        """Start it, again where it was."""
        if self._lives:
            self.device.close()
        self._lives += 1
        environment = dict(self.cast.environment)
        if self.cast.device_path:
            environment["PYTHONPATH"] = self.cast.device_path
        arguments = dict(self.cast.server)
        if self.setting.transport != "tcp":
            arguments["transport"] = self.setting.transport
        self.device = Program(
            "device",
            {
                "address": self.address or self.cast.address,
                "server": arguments,
                "keys": None if self.keys is None else self.keys.of_server(),
                "journal": str(self._folder / f"life-{self._lives}"),
                "updates_per_s": self.cast.updates_per_s,
                "data_values": self.cast.data_values,
            },
            self._folder,
            python=self.cast.device_python,
            environment=environment,
        )
        self.keep(self.device)
        self.address = self.device.hear()["address"]

    def stop_device(self) -> None:
        """Stop it in order; it must end by itself."""
        if not self.cast.stops:
            self.device.kill()
            return
        if self.device.ask(do="stop")["alive"]:
            self.faults.append("the device's thread has not ended after stop()")
        self.device.ended()

    def restart_device(self, end: Callable[[], None] | None = None) -> None:
        """End it, by ``end`` or as ``kill`` does, and start it again on its port."""
        begun = time.monotonic()
        (end or self.device.kill)()
        self.start_device()
        self.outage_s += time.monotonic() - begun

    def sample(self) -> Resources:
        """Return what the device uses, without what the C library keeps for later."""
        self.device.ask(do="trim")
        return Resources.of(self.device.process)

    # ---- witnesses

    def add_witness(
        self,
        kind: str,
        address: str = "",
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Program:
        """Let another one ask and follow, at the device's address or by way of another.

        What the device uses then is what it may use at the end. ``settings`` are further ones of
        the role, ``options`` those of Program.
        """
        witness = self.keep(self.client(kind, address, settings, **options))
        self._watched.append(len(self._outcomes))
        self.witnesses.append(witness)
        self.before = self.sample()
        return witness

    def client(
        self,
        kind: str,
        address: str = "",
        settings: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Program:
        """Return a client as witnesses are, for somebody else to end; its requests are counted."""
        who = self.actor()
        given = {
            "address": address or self.address,
            "keys": self.client_keys(),
            "who": who,
            "outcomes": str(self.outcomes_of(who)),
            "pause_s": self.cast.request_pause_s,
            "timeout_s": self.cast.timeout_s,
            "follow": self.cast.updates_per_s > 0,
            "breach": self.cast.breach,
            **(settings or {}),
        }
        ways = {"python": self.cast.witness_python, "environment": self.cast.environment}
        client = Program(f"{kind}_witness", given, self._folder, **{**ways, **options})
        try:
            self._ready(client)
        except BaseException:
            client.close()
            raise
        return client

    def keep(self, opened: AbstractContextManager[T]) -> T:
        """Enter what has to stay until the end of the stage."""
        return self._open.enter_context(opened)

    def answered(self) -> list[int]:
        """Return how many requests of each witness were answered so far."""
        files = [self.outcomes_of(who) for who in self._watched]
        return [path.read_bytes().count(journal.ANSWERED) for path in files]

    def actor(self) -> int:
        """Return the number of somebody else who asks, and who keeps the outcomes by itself."""
        who = len(self._outcomes) + 1
        self._outcomes[who] = self.outcomes_of(who)
        return who

    def outcomes_of(self, who: int) -> Path:
        """Return the file for the outcomes of somebody's requests."""
        return self._folder / f"{who}.outcomes"

    def helper(self, role: str, *, before: Sequence[str] = (), **settings: Any) -> Program:
        """Start another role, for somebody else to end."""
        given = {"address": self.address, "keys": self.client_keys(), **settings}
        return Program(role, given, self._folder, before=before)

    # ---- the end

    def finish(self, settles_s: float = 20.0) -> Found:
        """End everybody in order, and say what was found.

        ``settles_s``: how long the device may need to give back what it had for peers that went.
        """
        found = Found(before=self.before, faults=self.faults)
        found.after = self._settled(settles_s, found.faults)
        last = None
        if self.cast.updates_per_s:
            quiet = self.device.ask(do="quiet")
            last = quiet["epoch"], quiet["last"]
        for witness in self.witnesses:
            witness.tell(last=last)
        reports = [witness.hear(PATIENCE_S * 2) for witness in self.witnesses]
        probed = self.prober.ask(do="finish")
        found.longest_s, found.stalled_s = probed["longest_s"], probed["stalled_s"]
        for program in (*self.witnesses, self.prober):
            program.ended()
        self.stop_device()
        published = dict(Published.read(path) for path in self._folder.glob("life-*.published"))
        found.count_updates(reports, published)
        carried_out = journal.applied(self._folder.glob("life-*.applied"))
        found.count_requests(self._outcomes, carried_out)
        return found

    def _settled(self, settles_s: float, faults: list[str]) -> Resources:
        """Wait until the device has no more descriptors and threads than it had."""
        assert self.before is not None
        deadline = time.monotonic() + settles_s
        while True:
            now = self.sample()
            many = [
                f"{now[field]} {name}, {self.before[field]} before"
                for field, name in ((1, "threads"), (2, "descriptors"))
                if now[field] > self.before[field]
            ]
            if not many or time.monotonic() > deadline:
                faults += [f"after {settles_s:g} s there are {each}" for each in many]
                return now
            time.sleep(0.05)
