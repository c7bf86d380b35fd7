"""A process that crashes leaves a file that says where, and what its servers were doing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.isolated import TIMEOUT_S, Child, environment, run_script
from support.waiting import eventually

from laplace_server import __version__, crash_report
from laplace_server.client import ClientLHC

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and names a thread's id")
posix = pytest.mark.skipif(os.name == "nt", reason="signals")

SERVER = """
    import ctypes, sys, threading
    from laplace_server import ServerLHC, crash_report

    print(crash_report.enable(sys.argv[1]), flush=True)

    def crash(positions):
        ctypes.string_at(0)

    server = ServerLHC("stage", "tcp://127.0.0.1:*", 2, "MOTOR")
    server.set_on_position_changed(crash)
    server.start()
    print(server.server_port, flush=True)
    for line in sys.stdin:
        if line == "end\\n":
            break
        if line == "servers\\n":
            others = [ServerLHC(f"{n}", "tcp://127.0.0.1:*", 0, "GAS") for n in range(40)]
            for each in others:
                each.start()
            print("started", flush=True)
            for each in others:
                each.stop()
            print("stopped", flush=True)
    server.stop()
"""


class Crashing:
    """A process with a server, and the file that it reports to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.child = Child(SERVER, str(path))
        assert self.child.hear() == str(path)
        self.port = self.child.hear()
        self.client = ClientLHC(f"tcp://127.0.0.1:{self.port}", timeout_s=TIMEOUT_S)

    @property
    def pid(self) -> int:
        return self.child.process.pid

    def thread(self, name: str) -> int:
        """The system's number of the thread of this name, which it may be about to take."""
        found: list[int] = []

        def look() -> bool:
            for task in Path(f"/proc/{self.pid}/task").iterdir():
                if (task / "comm").read_text().strip() == name:
                    found.append(int(task.name))
            return bool(found)

        assert eventually(look), name
        return found[0]

    def end(self) -> tuple[int, str]:
        """The exit status, and the report."""
        status = self.child.process.wait(TIMEOUT_S)
        return status, self.path.read_text(encoding="utf-8")

    def close(self) -> None:
        self.client.close()
        self.child.close()


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Crashing]:
    process = Crashing(tmp_path / "crash.txt")
    yield process
    process.close()


def check_header(report: str) -> None:
    assert report.startswith("Crash report of laplace-server\nbegun: ")
    for line in (
        rf"packages: laplace-server {re.escape(__version__)}, pyzmq \d",
        rf"python: CPython {re.escape('.'.join(map(str, sys.version_info[:3])))}",
        r"platform: \w",
        r"process: \d+, ",
    ):
        assert re.search(f"^{line}", report, re.MULTILINE), report


@posix
def test_a_crash_in_a_callback(crashing: Crashing) -> None:
    crashing.client.get()
    with pytest.raises(Exception, match="SET"):
        crashing.client.set([1.0], timeout_s=0.5)  # sent at once, never answered
    status, report = crashing.end()
    assert status == -signal.SIGSEGV
    check_header(report)
    assert "Fatal Python error: Segmentation fault" in report
    assert re.search(r"Current thread .*\n(?:.*\n)*?.* in crash\n", report)
    assert "in _refresh" in report  # the other threads, too
    (line,) = re.findall(r"^  tcp://.*", report, re.MULTILINE)
    # It may be at the end of handing on the request.
    assert re.match(
        rf"  tcp://127.0.0.1:{crashing.port}: its loop was "
        r"(waiting or receiving|answering a request); connections 1, ",
        line,
    )
    assert "requests that wait 1, answers without Python 1, with Python 0," in line


@linux
@pytest.mark.parametrize("name", ["ls-loop", "ls-server", "ls-refresher"])
def test_a_fault_of_any_thread(crashing: Crashing, name: str) -> None:
    """Its signal comes to that thread; were it blocked there, the process would end silently."""
    crashing.client.ping()
    tgkill(crashing.pid, crashing.thread(name), signal.SIGSEGV)
    status, report = crashing.end()
    assert status == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in report
    assert report.count("Servers of this process:") == 1
    assert "its loop was waiting" in report


def tgkill(process: int, thread: int, number: int) -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).tgkill(*map(int, sys.argv[1:]))"
    numbers = [str(int(each)) for each in (process, thread, number)]
    subprocess.run([sys.executable, "-c", code, *numbers], check=True)


@posix
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE])
def test_a_signal_sent(crashing: Crashing, number: signal.Signals) -> None:
    crashing.client.ping()
    crashing.child.process.send_signal(number)
    status, report = crashing.end()
    assert status == -number
    assert "Fatal Python error" in report
    assert f"Servers of this process:\n  tcp://127.0.0.1:{crashing.port}: " in report


@posix
def test_many_servers_and_those_that_ended(crashing: Crashing) -> None:
    crashing.child.tell("servers")
    assert [crashing.child.hear(), crashing.child.hear()] == ["started", "stopped"]
    crashing.child.process.send_signal(signal.SIGSEGV)
    _, report = crashing.end()
    assert len(re.findall(r"^  tcp://", report, re.MULTILINE)) == 1


def test_where_nothing_happens_no_file_is_left(crashing: Crashing) -> None:
    assert crashing.path.exists()
    check_header(crashing.path.read_text(encoding="utf-8"))
    crashing.child.tell("end")
    assert crashing.child.process.wait(TIMEOUT_S) == 0
    assert not crashing.path.exists()


def test_without_a_path_it_is_in_the_temporary_folder(tmp_path: Path) -> None:
    places = {"TMPDIR": str(tmp_path), "TMP": str(tmp_path), "TEMP": str(tmp_path)}
    code = """
        import os
        from laplace_server import crash_report
        path = crash_report.enable()
        again = crash_report.enable()  # in the place of the first
        assert path == again and path.exists()
        print(os.getpid(), path)
        crash_report.disable()
        crash_report.disable()
        assert not path.exists()
        crash_report.enable()  # and once more
    """
    pid, path = run_script(code, **places).split(maxsplit=1)
    assert Path(path.strip()) == tmp_path / f"laplace-crash-{pid}.txt"
    assert list(tmp_path.iterdir()) == []


@posix
def test_changed_and_disabled(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import ctypes, sys
        from laplace_server import crash_report
        crash_report.enable(sys.argv[1])
        crash_report.enable(sys.argv[2])
        if sys.argv[3] == "disable":
            crash_report.disable()
        ctypes.string_at(0)
    """)
    first, second = tmp_path / "first", tmp_path / "second"
    for then, left in (("crash", [second]), ("disable", [])):
        # PYTHONFAULTHANDLER: it was at work before.
        done = subprocess.run(
            [sys.executable, "-c", code, str(first), str(second), then],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == -signal.SIGSEGV
        assert sorted(tmp_path.iterdir()) == left
        for path in left:
            report = path.read_text(encoding="utf-8")
            assert report.count("Fatal Python error") == 1
            assert report.count("Servers of this process:") == 1
            path.unlink()


@posix
def test_a_forked_child_leaves_the_file_of_its_parent(tmp_path: Path) -> None:
    code = """
        import os, sys
        from laplace_server import crash_report
        path = crash_report.enable(sys.argv[1])
        child = os.fork()
        if child == 0:
            sys.exit()  # with what is done at the end of a program
        assert os.waitpid(child, 0)[1] == 0
        assert path.exists()
    """
    run_script(code, str(tmp_path / "crash.txt"))
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("crash", ["os.abort()", "ctypes.string_at(0)"])
def test_one_report_whoever_is_put_on_top(tmp_path: Path, crash: str) -> None:
    """Handlers that call each other, of ours and faulthandler's, end with the signal that came."""
    code = f"""
        import ctypes, faulthandler, os, sys
        from laplace_server import crash_report
        faulthandler.disable()
        for _ in range(3):
            crash_report.enable(sys.argv[1])
            crash_report.disable()
            faulthandler.enable()
        crash_report.enable(sys.argv[1])
        if sys.argv[2] == "again":
            faulthandler.disable()
            faulthandler.enable(open(sys.argv[1], "a"))
        {crash}
    """
    path = tmp_path / "crash.txt"
    for then in ("as it is", "again"):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), str(path), then],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        expected = signal.SIGABRT if "abort" in crash else signal.SIGSEGV
        assert done.returncode == -expected
        report = path.read_text(encoding="utf-8")
        assert report.count("Fatal Python error") == 1
        # faulthandler.disable() puts away what was put on top of it, too.
        assert report.count("Servers of this process:") == (then == "as it is")


def test_the_report_of_another_process_stays(tmp_path: Path) -> None:
    """An old one that ends does not take that of its successor with the same path away."""
    path = tmp_path / "crash.txt"
    code = """
        import sys
        from laplace_server import crash_report
        crash_report.enable(sys.argv[1])
        print("enabled", flush=True)
        sys.stdin.read()
    """
    old, new = Child(code, str(path)), None
    try:
        assert old.hear() == "enabled"
        new = Child(code, str(path))
        assert new.hear() == "enabled"
        old.process.communicate(timeout=TIMEOUT_S)  # ends
        assert f"process: {new.process.pid}, " in path.read_text(encoding="utf-8")
        new.process.communicate(timeout=TIMEOUT_S)
        assert not path.exists()
    finally:
        for each in (old, new):
            if each is not None:
                each.close()


@posix
def test_a_descriptor_that_the_program_has_closed(tmp_path: Path) -> None:
    code = """
        import os, sys
        from laplace_server import crash_report
        before = set(os.listdir("/dev/fd"))
        path = crash_report.enable(sys.argv[1])
        for each in set(os.listdir("/dev/fd")) - before:
            try:
                os.close(int(each))
            except OSError:
                pass
        with open(sys.argv[2], "w") as own:
            crash_report.disable()
            own.write("the program's")
        assert not path.exists()
    """
    run_script(code, str(tmp_path / "crash.txt"), str(tmp_path / "own"))
    assert (tmp_path / "own").read_text() == "the program's"


@posix
def test_a_program_that_is_ended_by_a_signal(crashing: Crashing) -> None:
    """Nobody could remove the file, which says what it means that there is no report."""
    crashing.child.process.send_signal(signal.SIGTERM)
    status, report = crashing.end()
    assert status == -signal.SIGTERM
    assert report.rstrip().splitlines()[-2].startswith("(If nothing is below: ended by a signal")
    assert "Fatal Python error" not in report


@posix
def test_the_file_is_for_its_user_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("kept")
    link.symlink_to(target)
    with pytest.raises(OSError, match="link"):
        crash_report.enable(link)
    assert target.read_text() == "kept"
    with pytest.raises(FileNotFoundError):
        crash_report.enable(tmp_path / "no folder" / "crash.txt")
    code = """
        import os, stat, sys
        from laplace_server import crash_report
        print(oct(stat.S_IMODE(os.stat(crash_report.enable(sys.argv[1])).st_mode)))
    """
    assert run_script(code, str(tmp_path / "crash.txt")).strip() == "0o600"


def test_a_path_that_is_none() -> None:
    with pytest.raises(TypeError):
        crash_report.enable(5)  # type: ignore[arg-type]
