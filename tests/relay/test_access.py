"""Brokers that want credentials or TLS."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from relay.conftest import MakeBroker, MakeRelay
from support.machine import within
from support.nats import needs_nats
from support.peers import PATIENCE_S, address_of
from support.updates import publish
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.errors import RequestTimeout
from laplace_server.relay import NatsRelay, follow
from laplace_server.relay.connection import connect
from laplace_server.relay.way import way_of

pytestmark = needs_nats

OPENSSL = shutil.which("openssl")


def passes(url: str, server: ServerLHC, make_relay: MakeRelay, **how: Any) -> None:
    """An update goes into NATS and comes out of it."""
    publish(server, 1, 1)
    relay = make_relay(url, [(address_of(server), "s")], **how)
    wait_until(
        lambda: relay.stats().sources[0].updates == 1, f"stored: {relay.stats()}", within(10)
    )
    with follow(url, "camera", "s", start="oldest", **how) as updates:
        assert updates.next(PATIENCE_S).seq == 1


def test_credentials(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay, tmp_path: Path
) -> None:
    pytest.importorskip("nkeys")
    from support.nats_keys import operator_mode

    credentials = tmp_path / "relay.creds"
    broker = make_broker(**operator_mode(credentials))
    with pytest.raises(RequestTimeout, match="no connection to NATS"):
        follow(broker.url, "camera", "s", timeout_s=0.5)
    passes(broker.url, server, make_relay, credentials=credentials)


@pytest.mark.parametrize("content", [None, "", "-----BEGIN NATS USER JWT-----\nx\n"])
def test_what_holds_no_credentials(tmp_path: Path, content: str | None) -> None:
    pytest.importorskip("nkeys")
    path = tmp_path / "relay.creds"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    match = "cannot be read" if content is None else "has no credentials for NATS"
    with pytest.raises(ValueError, match=match):
        NatsRelay("nats://127.0.0.1:9", ["tcp://127.0.0.1:9/s"], credentials=path)
    with pytest.raises(ValueError, match=match):
        follow("nats://127.0.0.1:9", "camera", "s", credentials=path)


def test_what_is_no_nats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laplace_server.relay.connection.CONNECT_S", within(0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(RequestTimeout, match="nothing there that speaks NATS has answered"):
            follow(f"nats://127.0.0.1:{port}", "camera", "s", timeout_s=within(3))


def test_a_connection_that_is_given_up_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        way = way_of(f"nats://127.0.0.1:{silent.getsockname()[1]}", None, None, None)

        async def give_up() -> socket.socket:
            loop = asyncio.get_running_loop()
            opening = loop.create_task(connect(way, "tested"))
            accepted, _ = await loop.run_in_executor(None, silent.accept)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            return accepted

        with asyncio.run(give_up()) as accepted:
            accepted.settimeout(PATIENCE_S)
            assert accepted.recv(100) == b""


@pytest.mark.skipif(OPENSSL is None, reason="there is no openssl to make a certificate with")
def test_tls(
    server: ServerLHC, make_broker: MakeBroker, make_relay: MakeRelay, tmp_path: Path
) -> None:
    assert OPENSSL is not None
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=n1 -keyout {key} -out {cert}"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([OPENSSL, *made.split(), *names], check=True, capture_output=True)
    broker = make_broker(tls={"cert_file": str(cert), "key_file": str(key)})
    with pytest.raises(RequestTimeout, match="no connection to NATS"):
        follow(broker.url, "camera", "s", timeout_s=3)  # the system does not trust it
    tls = ssl.create_default_context(cafile=cert)
    passes(broker.url.replace("nats:", "tls:"), server, make_relay, tls=tls)
