"""``laplace-server stream`` says why it does not go on."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.following import Follow
from support.keys import at_home, new_pair, write_file
from support.peers import address_of
from support.secure import Lab

from laplace_server.cli.progress import Progress
from laplace_server.cli.views import TerminalView
from laplace_server.cli.watch import Watch
from laplace_server.client import ClientLHC
from laplace_server.client._frames import CLOSED_AT_HELLO
from laplace_server.security import own_keys

pytestmark = pytest.mark.transports("tcp")

GOES_ON = "; following goes on when it is back."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in at_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LAPLACE_KEY", raising=False)
    return tmp_path


def test_a_key_that_is_not_what_it_was(home: Path, follow: Follow) -> None:
    """Its role may not follow any more; it is removed; and then the server has another one."""
    guest = new_pair()
    lab = Lab()
    lab.security.allow(guest.public, "view", "guest")
    with lab.serving() as server:
        server.declare_stream("s")
        address = address_of(server)
        file = write_file(home / "guest.key_secret", guest, secret=True)
        own_keys.trust(address, write_file(home / "server.key", lab.server))
        following = follow(address, "s", "--json", "--start", "oldest", "--key", str(file))
        server.publish("s", {})
        assert following.update()["seq"] == 1
        lab.security.allow(guest.public, {"GET", "INFO", "PING"}, "guest")
        notice = following.notice()
        assert notice.startswith("laplace-server: the stream is not followed: not permitted: the")
        assert notice.endswith(f" may not use 'SUBSCRIBE'{GOES_ON}")
        lab.security.revoke("guest")
        assert f": it does not allow this client's key{GOES_ON}" in following.notice()
        lab.security.allow(guest.public, "view", "guest")
        assert following.notice() == "laplace-server: the server answers again."
        server.publish("s", {})
        assert following.update()["seq"] == 2
        server.stop()
        assert following.notice() == f"laplace-server: the server has ended{GOES_ON}"
        with Lab().serving(address=address):
            ended = f"laplace-server: the server has ended: {CLOSED_AT_HELLO}{GOES_ON}"
            assert following.notice() == ended
    assert following.notices.empty()  # and nothing of the log


def test_a_terminal_shows_all_of_a_long_reason() -> None:
    from rich.console import Console

    update: Any = SimpleNamespace(seq=1, timestamp=0.0, data={f"value {n}": n for n in range(40)})
    following: Any = SimpleNamespace(
        trouble=CLOSED_AT_HELLO, server_ended=False, epoch=1, lost=0, lag=0
    )
    watch = Watch(cast(ClientLHC, object()))
    watch.heard = time.monotonic() - 60
    progress = Progress(following, latest_only=False)
    progress.last = update
    shown = io.StringIO()
    console = Console(file=shown, width=60, height=24, force_terminal=True, color_system=None)
    view = TerminalView(console, "tcp://stage.lab:5555", "s")
    try:
        shown.truncate(0)
        view.show(progress, watch, time.monotonic())
    finally:
        view.close(progress)
    lines = shown.getvalue().splitlines()
    (begin,) = (at for at, line in enumerate(lines) if line.startswith("no word from the server"))
    (title,) = (at for at, line in enumerate(lines[:begin]) if "Stream 's' of tcp" in line)
    status = " ".join(line.strip() for line in lines[begin : begin + 10])
    assert f"(60 s ago): {CLOSED_AT_HELLO}; waiting for it" in " ".join(status.split())
    assert begin - title < 24 - 3
