"""laplace_server.testing, as somebody uses it: pytest in a process and a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from support.isolated import run_script

pytestmark = pytest.mark.transports("tcp", "libzmq")

RunTests = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_tests(tmp_path: Path) -> RunTests:
    """Run a test file with the plugin."""

    def run(tests: str, *options: str, before: str = "") -> subprocess.CompletedProcess[str]:
        plugins = 'pytest_plugins = ["laplace_server.testing"]\n'
        (tmp_path / "conftest.py").write_text(before + plugins)
        (tmp_path / "test_it.py").write_text(textwrap.dedent(tests))
        environment = {
            name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"
        }
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider", *options],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run


def passed(done: subprocess.CompletedProcess[str], count: int) -> bool:
    return done.returncode == 0 and f"{count} passed" in done.stdout


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """What the teardown of a test said that has itself passed."""
    assert done.returncode == 1, done.stdout
    assert "1 passed, 1 error" in done.stdout, done.stdout
    _, mark, text = done.stdout.partition("laplace_server.testing: ")
    assert mark
    return text


def test_the_package_does_not_import_pytest() -> None:
    printed = run_script(
        "import sys, laplace_server, laplace_server.client, laplace_server.sim\n"
        "print('pytest' in sys.modules)"
    )
    assert printed == "False\n"


def test_without_pytest_the_import_says_what_to_install() -> None:
    printed = run_script("""
        import sys
        sys.modules["pytest"] = None
        try:
            import laplace_server.testing
        except ImportError as error:
            print(error.name, "|", error)
    """)
    assert printed.startswith("pytest |")
    assert "pip install '.[testing]'" in printed


def test_servers_devices_and_clients(run_tests: RunTests) -> None:
    done = run_tests("""
        import threading

        import pytest
        from laplace_server import ServerLHC
        from laplace_server.client import ClientLHC
        from laplace_server.sim import SimulatedDevice, SimulatedShot
        from laplace_server.testing import MakeClient, MakeDevice, MakeServer

        seen = []

        def test_a_server_and_a_client(lhc_server: ServerLHC, lhc_client: ClientLHC) -> None:
            moved = []
            lhc_server.set_on_position_changed(moved.append)
            lhc_client.set([1.5, 2.5])
            assert moved == [[1.5, 2.5]]
            assert lhc_client.get() == {"positions": [0.0, 0.0]}
            assert lhc_server.address.startswith("tcp://127.0.0.1:")
            seen.extend([lhc_server, lhc_client])

        def test_they_have_ended() -> None:
            server, client = seen
            assert not server.is_alive()
            assert client.closed
            assert threading.active_count() == 1

        class Special(ServerLHC):
            pass

        def test_servers_of_ones_own(
            make_lhc_server: MakeServer, make_lhc_client: MakeClient
        ) -> None:
            one = make_lhc_server(name="one", device="GAS", freedom=3)
            two = make_lhc_server(name="two", kind=Special, data={"x": 1})
            three = make_lhc_server(name="three", start=False)
            assert isinstance(two, Special)
            assert three.ident is None
            assert make_lhc_client(one).info()["freedom"] == 3
            assert make_lhc_client(two, timeout_s=1.0).get() == {"x": 1}
            three.start()
            client = make_lhc_client(f"tcp://127.0.0.1:{three.server_port}", name="me")
            assert client.info()["name"] == "three"
            assert client.name == "me"

        def test_a_server_on_all_networks(
            make_lhc_server: MakeServer, make_lhc_client: MakeClient
        ) -> None:
            server = make_lhc_server(address="tcp://*:*")
            assert make_lhc_client(server).address == f"tcp://127.0.0.1:{server.server_port}"

        class Program:
            def __init__(self, server: ServerLHC) -> None:
                self.server = server

        def test_a_program(lhc_server: ServerLHC, make_lhc_client: MakeClient) -> None:
            assert make_lhc_client(Program(lhc_server)).ping() > 0
            for nobody in (None, Program(None), 5):
                with pytest.raises(TypeError, match="a client is of a ServerLHC"):
                    make_lhc_client(nobody)

        def test_a_device(lhc_device: SimulatedDevice, make_lhc_client: MakeClient) -> None:
            client = make_lhc_client(lhc_device)
            assert client.address == lhc_device.local_address
            client.set([0.5, 0.25])
            while client.get()["moving"]:
                pass
            assert client.get()["positions"] == [0.5, 0.25]

        @pytest.mark.parametrize("kind", ["MOTOR", "CAMERA", "GAS", "SHOT", SimulatedShot])
        def test_devices(kind, make_lhc_device: MakeDevice, make_lhc_client: MakeClient) -> None:
            device = make_lhc_device(kind, name="it")
            assert device.is_alive()
            info = make_lhc_client(device).info()
            assert info["name"] == "it"
            assert info["device"] == device.device
            assert not make_lhc_device(kind, start=False).is_alive()
    """)
    assert passed(done, 11), done.stdout


def test_a_callback_that_raises_fails_the_test(run_tests: RunTests) -> None:
    done = run_tests("""
        def test_it(lhc_server, lhc_client):
            def move(positions):
                raise ValueError("no such axis")
            lhc_server.set_on_position_changed(move)
            lhc_client.set([1.5])  # the answer is a normal one
    """)
    text = error_of(done)
    assert "a server logged errors:" in text
    assert "on_position_changed raised. ValueError: no such axis" in text
    assert "lhc_errors.clear()" in text


def test_errors_of_the_programs_own_server(run_tests: RunTests) -> None:
    done = run_tests("""
        from laplace_server import ServerLHC
        def test_it(lhc_errors, make_lhc_client):
            with ServerLHC("mine", "tcp://127.0.0.1:*", 0, "CAMERA") as server:
                try:
                    make_lhc_client(server).request("NONSENSE")
                except Exception:
                    pass
    """)
    assert "Unknown command 'NONSENSE'" in error_of(done)


def test_expected_errors(run_tests: RunTests) -> None:
    done = run_tests("""
        import logging
        def test_it(lhc_server, lhc_client, lhc_errors):
            lhc_server.set_on_opt(lambda data: data["missing"])
            lhc_client.opt({})
            (error,) = lhc_errors
            assert "KeyError" in error
            lhc_errors.clear()
        def test_no_handler_is_left():
            assert logging.getLogger("laplace.server").handlers == []
    """)
    assert passed(done, 2), done.stdout


@pytest.mark.parametrize(
    "end", ["lhc_client.stop_server()", "lhc_server.stop()", "lhc_server.running.clear()"]
)
def test_a_server_that_has_ended_fails_the_test(run_tests: RunTests, end: str) -> None:
    done = run_tests(f"""
        def test_it(lhc_server, lhc_client):
            {end}
            lhc_server.join(10)
    """)
    text = error_of(done)
    assert "server 'server' ended before the test did" in text
    assert "make_lhc_server(..., may_end=True)" in text


def test_a_server_may_end(run_tests: RunTests) -> None:
    done = run_tests("""
        def test_server(make_lhc_server, make_lhc_client):
            server = make_lhc_server(may_end=True)
            make_lhc_client(server).stop_server()
            server.join(10)
            assert not server.is_alive()

        def test_device(make_lhc_device):
            device = make_lhc_device("GAS", may_end=True)
            device.stop()
            make_lhc_device("GAS")
    """)
    assert passed(done, 2), done.stdout
    done = run_tests("""
        def test_device(make_lhc_device):
            make_lhc_device("GAS").stop()
    """)
    assert "make_lhc_device(..., may_end=True)" in error_of(done)


def test_a_callback_that_goes_on_fails_the_test(run_tests: RunTests) -> None:
    done = run_tests("""
        import threading
        import laplace_server.testing
        import pytest

        go_on = threading.Event()

        @pytest.fixture
        def patience(monkeypatch):
            monkeypatch.setattr(laplace_server.testing, "_PATIENCE_S", 0.1)
            yield
            go_on.set()

        def test_it(patience, make_lhc_server, make_lhc_client):
            server = make_lhc_server(name="slow")
            begun = threading.Event()
            def move(positions):
                begun.set()
                go_on.wait(60)
            server.set_on_position_changed(move)
            client = make_lhc_client(server)
            threading.Thread(target=ask, args=(client,)).start()
            begun.wait(10)

        def ask(client):
            try:
                client.set([1.5], timeout_s=60.0)
            except Exception:
                pass
    """)
    assert "server 'slow' was stopped, but a callback still runs" in error_of(done)


def test_a_conftest_may_import_its_names(run_tests: RunTests) -> None:
    done = run_tests(
        "def test_it(lhc_server): assert lhc_server.is_alive()",
        before="from laplace_server.testing import MakeServer\n",
    )
    assert passed(done, 1), done.stdout


def test_the_fixtures_are_listed_with_what_they_are(run_tests: RunTests) -> None:
    done = run_tests("", "--fixtures")
    for name in ("lhc_server", "lhc_client", "lhc_device", "lhc_errors"):
        assert f"\n{name} -- " in done.stdout
    for name in ("make_lhc_server", "make_lhc_client", "make_lhc_device"):
        assert f"\n{name} -- " in done.stdout
    assert "no docstring available" not in done.stdout.partition("laplace_server.testing")[2]


def test_an_error_is_seen_whatever_the_log_raises(run_tests: RunTests) -> None:
    done = run_tests(
        """
        def test_it(lhc_server, lhc_client):
            def move(positions):
                raise BadText

            lhc_server.set_on_position_changed(move)
            lhc_client.set([1.0])

        class BadText(Exception):
            def __str__(self):
                raise RuntimeError("no text")
        """,
        before="""\
import logging

class Failing(logging.Handler):
    def emit(self, record):
        raise RuntimeError("the window is gone")

logging.getLogger("laplace.server").addHandler(Failing())
""",
    )
    assert "on_position_changed raised. BadText: (it cannot be shown)" in error_of(done)
