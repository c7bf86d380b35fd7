"""Clients with keys: of our server, of pyzmq's, and of those that are not what they should be."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from support.both_clients import Kind
from support.curve import Curve
from support.forked import Forked
from support.isolated import completed, run_script
from support.keys import new_pair
from support.peers import PATIENCE_S, address_of
from support.scripted_server import ScriptedServer, answering, echo
from support.secure import Lab
from support.serving import serving
from support.waiting import wait_until

from laplace_server import ServerLHC
from laplace_server.client._frames import (
    CLOSED_AT_HELLO,
    CLOSED_EARLY,
    CLOSED_UNGREETED,
    NO_KEY,
)
from laplace_server.errors import NotPermitted, RequestTimeout

pytestmark = pytest.mark.transports("tcp")

NO_SECURITY = "it has no security: it talks in the clear, which a client with a key does not"
NOT_ALLOWED = "it does not allow this client's key"


@pytest.fixture
def kind(kind_in_loop: Kind) -> Kind:
    return kind_in_loop


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def secure(lab: Lab) -> Iterator[ServerLHC]:
    with lab.serving(data={"x": 1.5}) as server:
        server.register_handler("ECHO", lambda server, message, target: message["payload"])
        yield server


def reason_of(kind: Kind, address: str, timeout_s: float = 0.5, **options: Any) -> str | None:
    """Why a request had no answer."""
    with kind(address, timeout_s=timeout_s, **options) as client:
        with pytest.raises(RequestTimeout) as caught:
            client.get()
    reason = caught.value.reason
    assert reason is None or reason in str(caught.value)
    return reason


# ---- what works


def test_requests(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    with kind(address_of(secure), "asker", PATIENCE_S, security=lab.client()) as client:
        assert client.get() == {"x": 1.5}
        assert client.info()["name"] == "device"
        assert client.ping() > 0
        client.set([1.0])
        for size in (0, 1, 200, 5000, 100_000, 5 << 20):
            assert client.request("ECHO", {"text": "x" * size}) == {"text": "x" * size}
        with pytest.raises(NotPermitted, match="may not use"):
            client.stop_server()
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.client("admin")) as client:
        client.stop_server()
    wait_until(lambda: not secure.is_alive(), "it has ended")


def test_a_server_of_pyzmq(kind: Kind) -> None:
    curve = Curve(heartbeat_ms=20)
    with ScriptedServer(answering(echo), curve=curve) as server:
        with kind(server.address, timeout_s=PATIENCE_S, security=curve.security()) as client:
            for size in (0, 1, 200, 5000, 100_000, 5 << 20):
                assert client.request("ECHO", {"text": "x" * size}) == {"text": "x" * size}
        assert server.connections() == 1
    assert curve.asked == [curve.client.public]


def test_arrays(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    generator = np.random.default_rng(15)
    arrays = {f"a{size}": generator.random(size) for size in (0, 1, 1000, 1100, 9000, 300_000)}
    secure.set_data(arrays)
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.client("view")) as client:
        for _ in range(3):
            got = client.get(arrays=True)
            assert got.keys() == arrays.keys()
            for name, array in arrays.items():
                assert np.array_equal(got[name], array)
                assert not got[name].flags.writeable


def test_many_at_once(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    with kind(address_of(secure), timeout_s=PATIENCE_S, security=lab.client()) as client:
        with ThreadPoolExecutor(20) as threads:
            asked = [
                threads.submit(client.request, "ECHO", {"n": number, "text": "x" * (number * 999)})
                for number in range(100)
            ]
            for number, each in enumerate(asked):
                assert each.result(PATIENCE_S) == {"n": number, "text": "x" * (number * 999)}


def test_clients_with_and_without_keys(kind: Kind) -> None:
    lab = Lab(anonymous="view")
    with lab.serving(data={"x": 1.5}) as server:
        with kind(address_of(server), timeout_s=PATIENCE_S) as plain:
            with kind(address_of(server), timeout_s=PATIENCE_S, security=lab.client()) as secure:
                assert plain.get() == secure.get() == {"x": 1.5}
                secure.set([1.0])
                with pytest.raises(NotPermitted, match="may not use"):
                    plain.set([1.0])


def test_a_name_with_several_addresses(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    address = f"tcp://localhost:{int(secure.server_port)}"
    with kind(address, timeout_s=PATIENCE_S, security=lab.client()) as client:
        assert client.get() == {"x": 1.5}


def test_a_restart(kind: Kind, lab: Lab) -> None:
    with lab.serving(data={"life": 1}) as server:
        address = address_of(server)
        client = kind(address, timeout_s=PATIENCE_S, security=lab.client())
        with client:
            assert client.get() == {"life": 1}
            server.stop()
            with lab.serving(address=address, data={"life": 2}):
                assert client.get() == {"life": 2}


# ---- what does not


def test_a_key_that_is_not_allowed_yet(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    stranger = new_pair()
    address = address_of(secure)
    assert reason_of(kind, address, security=lab.of(stranger)) == NOT_ALLOWED
    with kind(address, timeout_s=PATIENCE_S, security=lab.of(stranger)) as client:
        with pytest.raises(RequestTimeout, match="does not allow"):
            client.get(timeout_s=0.3)
        lab.security.allow(stranger.public, "view", "stranger")
        assert client.get() == {"x": 1.5}
        lab.security.revoke("stranger")
        wait_until(lambda: secure.stats().connections == 0, "its connection is closed")
        with pytest.raises(RequestTimeout):  # of which it may not have heard yet
            client.get(timeout_s=0.3)
        with pytest.raises(RequestTimeout, match="does not allow"):
            client.get(timeout_s=0.5)


def test_who_is_refused_does_not_ask_a_thousand_times(kind: Kind) -> None:
    curve = Curve()
    with ScriptedServer(answering(echo), curve=curve) as server:
        stranger = curve.security(client=new_pair())
        reason_of(kind, server.address, 1.0, security=stranger)
        assert 1 <= len(curve.asked) <= 12
        with kind(server.address, security=stranger) as client:
            asked = len(curve.asked)
            with client.subscribe("s", timeout_s=None) as subscription:  # after 2 s, without it
                assert subscription.epoch == 0
            assert asked < len(curve.asked) <= asked + 12


def test_a_server_with_another_key(kind: Kind, lab: Lab, secure: ServerLHC) -> None:
    other = lab.of(lab.clients["operate"], new_pair())
    assert reason_of(kind, address_of(secure), security=other) == CLOSED_AT_HELLO
    curve = Curve()
    with ScriptedServer(answering(echo), curve=curve) as server:
        wrong = curve.security(server=new_pair())
        reason = reason_of(kind, server.address, security=wrong)
        assert reason in (CLOSED_AT_HELLO, CLOSED_UNGREETED)


def test_a_server_without_security(kind: Kind, lab: Lab) -> None:
    with serving() as server:
        assert reason_of(kind, address_of(server), security=lab.client()) == NO_SECURITY
        assert server.stats().bytes_in == 0
    with ScriptedServer(answering(echo)) as original:
        reason = reason_of(kind, original.address, security=lab.client())
        assert reason in (NO_SECURITY, CLOSED_UNGREETED)
        assert original.bodies.empty()


def test_a_client_without_a_key(kind: Kind, secure: ServerLHC) -> None:
    assert reason_of(kind, address_of(secure)) == NO_KEY
    curve = Curve()
    with ScriptedServer(answering(echo), curve=curve) as server:
        reason = reason_of(kind, server.address)
        assert reason is not None
        assert reason == CLOSED_EARLY or "only clients with a key" in reason


# ---- what is given


def test_only_a_client_security_will_do(kind: Kind, lab: Lab) -> None:
    for wrong in (lab.security, lab.server.secret, {}, False):
        with pytest.raises(TypeError, match="'security' must be a ClientSecurity or None, not"):
            kind("tcp://127.0.0.1:1", security=wrong)
    with pytest.raises(TypeError):
        kind("tcp://127.0.0.1:1", "name", 1.0, lab.client())


def test_secrets_are_shown_nowhere(lab: Lab) -> None:
    from laplace_server.client import ClientLHC

    security = lab.client()
    with ClientLHC("tcp://127.0.0.1:1", security=security) as client:
        assert client.security is security
        secret = lab.clients["operate"].secret
        shown = repr(client) + str(vars(client)) + repr(vars(client._pool))
        assert secret not in shown
        assert repr(security.secret_key.reveal()) not in shown
        for how in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                how(client)
    with ClientLHC("tcp://127.0.0.1:1") as plain:
        assert plain.security is None


@pytest.mark.parametrize("name", ["ClientLHC", "AsyncClientLHC"])
def test_without_libsodium_there_is_no_client(name: str, lab: Lab) -> None:
    done = completed(
        f"""
        import sys
        from laplace_server.client import {name} as Client
        from laplace_server.security import ClientSecurity

        security = ClientSecurity(sys.argv[1], server_key=sys.argv[2])
        try:
            Client("tcp://127.0.0.1:1", security=security)
        except ImportError as error:
            print(error)
        """,
        lab.clients["view"].secret,
        lab.server.public,
        LAPLACE_LIBSODIUM="/nowhere/libsodium.so",
    )
    assert "cannot use the libsodium that LAPLACE_LIBSODIUM names" in done.stdout
    assert "unset it" in done.stdout


def test_without_security_nothing_of_it_is_loaded() -> None:
    run_script("""
        import sys
        from laplace_server.client import AsyncClientLHC, ClientLHC
        from laplace_server.errors import RequestTimeout

        with ClientLHC("tcp://127.0.0.1:1", timeout_s=0.01) as client:
            try:
                client.get()
            except RequestTimeout:
                pass
        loaded = [name for name in sys.modules if "security" in name or "libsodium" in name]
        assert not loaded, loaded
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_connections_of_its_own(lab: Lab, secure: ServerLHC) -> None:
    from laplace_server.client import ClientLHC

    with ClientLHC(address_of(secure), timeout_s=PATIENCE_S, security=lab.client()) as client:
        assert client.get() == {"x": 1.5}

        def ask() -> None:
            assert client.get() == {"x": 1.5}
            assert client.request("ECHO", {"who": "child"}) == {"who": "child"}
            client.close()

        with Forked(ask):
            assert client.request("ECHO", {"who": "parent"}) == {"who": "parent"}
        assert client.get() == {"x": 1.5}
