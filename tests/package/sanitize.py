"""Run rough tests on a core built with a sanitizer: ``python tests/package/sanitize.py address``.

``address`` (with undefined behaviour): tests, then the threaded stress with a look for leaks.
``thread``: the threaded stress. After either word, tests may be named to run these alone.

The build goes to a folder of its own and the installed package is left alone. GCC's runtime library
must be there. A fault of each kind is made on purpose first: what does not report it finds nothing
else either. Python, libzmq and orjson are not instrumented, so of races and leaks only those
count that name this project's functions; the others are told by number.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = [
    "server/test_stress.py",
    "server/test_order.py",
    "server/test_limits.py",
    "server/test_peers.py",
    "server/test_deaf_peers.py",
    "server/test_clients.py",
    "server/test_leaving_peers.py",
    "server/test_stop.py",
    "server/test_stop_at_work.py",
    "server/test_hostile.py",
    "server/test_hostile_floods.py",
    "server/test_hostile_handshakes.py",
    "server/test_hostile_messages.py",
    "server/test_connection_ends.py",
    "server/test_curve.py",
    "server/test_curve_refusals.py",
    "server/test_keys_change.py",
    "server/test_lifetime.py",
    "server/test_roles_change.py",
    "streams/test_streams.py",
    "streams/test_secure_streams.py",
    "streams/test_stream_server.py",
    "streams/test_stream_corners.py",
    "streams/test_stream_hostile.py",
    "streams/test_stream_model.py",
    "streams/test_subscription.py",
    "streams/test_breaks.py",
    "streams/test_stream_wire.py",
    "streams/test_arrays_without_copies.py",
    "server/test_data.py",
    "server/test_data_aliases.py",
    "server/test_data_emptied.py",
    "server/test_data_frozen.py",
    "server/test_data_copy.py",
    "client/test_conversation.py",
    "client/test_connection.py",
    "client/test_connection_servers.py",
    "client/test_connection_hostile.py",
    "client/test_connection_ends.py",
    "client/test_connection_interrupts.py",
    "client/test_curve_connection.py",
    "client/test_curve_conversation.py",
]
# Time limits that a slow build breaks, memory that a sanitizer uses, children without it.
LEFT_OUT = "not process and not fork and not memory and not debug and not spawn and not thousand"
IMPORT = "from laplace_server.server import _core; from laplace_server.client import _frames; "
REPORT = re.compile(r"WARNING: |ERROR: |runtime error: ")
OWN = re.compile(r"laplace::|__pyx_|ls_scan|csrc/|\.px[ydi]\b|_(core|frames)\.")
# Where memory is allocated, these stand between who wants it and who has it.
BETWEEN = re.compile(r"__interceptor_|operator new|libasan|libstdc\+\+|/c\+\+/|sanitizer")


@dataclass(frozen=True)
class Kind:
    """A sanitizer: its build, its libraries, and the faults that have to be reported first."""

    switch: str
    libraries: tuple[str, ...]
    faults: dict[str, str]
    options: dict[str, str]


KINDS = {
    "address": Kind(
        "address,undefined",
        ("libasan.so", "libubsan.so"),
        {
            "use-after-free": "heap-use-after-free",
            "shift": "runtime error: shift exponent",
            "leak": "Direct leak of 1234 byte",
        },
        {
            # Where there is no memory for what a peer announces, malloc says so, and tests go on.
            "ASAN_OPTIONS": "detect_leaks={leaks}:handle_segv=0:allocator_may_return_null=1",
            "LSAN_OPTIONS": "exitcode=0",  # Python leaks, too
            # Beside ASan's library, it does not heed log_path, and writes to the error output.
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        },
    ),
    "thread": Kind(
        "thread",
        ("libtsan.so",),
        {"race": "data race"},
        {"TSAN_OPTIONS": "exitcode=0:report_signal_unsafe=0:history_size=4"},
    ),
}


def runtime(name: str) -> str:
    compiler = os.environ.get("CXX", "g++")
    path = subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"{compiler} has no {name}")
    return str(Path(path).resolve())


def build(kind: Kind, folder: Path) -> None:
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    for name in ("csrc", "laplace_server", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("setup.py", "pyproject.toml", "conftest.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copy(ROOT / "tests" / "native" / "support" / "seeded_fault.cpp", folder / "csrc")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "LAPLACE_SANITIZE": kind.switch},
        check=True,
    )


@dataclass
class Reports:
    """What sanitizers have told."""

    own: list[str] = field(default_factory=list)
    foreign: int = 0

    def add(self, text: str) -> None:
        for part in re.split(r"(?m)^={18,}$|^(?=(?:Direct|Indirect) leak of )", text):
            if part.startswith(("Direct", "Indirect")):
                # Who asked for the memory. All further down is called by Python.
                frames = re.findall(r"(?m)^ +#\d+ .*$", part)
                asked = next((each for each in frames if not BETWEEN.search(each)), "")
                self._take(part, OWN.search(asked) is not None)
            elif "LeakSanitizer: detected" in part or not REPORT.search(part):
                continue
            elif "ThreadSanitizer" in part:
                # The accesses themselves; what follows says where memory and threads came from.
                accesses = re.split(r"(?m)^  (?:Location|Mutex|Thread) ", part)[0]
                # Messages pass between threads through libzmq, whose synchronisation is not seen.
                self._take(part, bool(OWN.search(accesses)) and "libzmq" not in accesses)
            else:
                self._take(part, True)

    def _take(self, text: str, own: bool) -> None:
        if own:
            self.own.append(text)
        else:
            self.foreign += 1


class Sanitized:
    """Runs Python on the modules that were built in a folder."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self._kind = kind
        self._folder = folder

    def run(self, *arguments: str, leaks: bool = False, fault: str = "") -> tuple[int, Reports]:
        """The exit status of a Python with these arguments, and what was reported."""
        log = self._folder / "report"
        options = {
            name: f"{value.format(leaks=int(leaks))}:log_path={log}"
            for name, value in self._kind.options.items()
        }
        environment = {
            **os.environ,
            **options,
            "LD_PRELOAD": " ".join(map(runtime, self._kind.libraries)),
            "PYTHONPATH": str(self._folder),
            "PYTHONMALLOC": "malloc",
            "LAPLACE_SEEDED_FAULT": fault,
            "LAPLACE_SANITIZER_LOG": str(log),
            "LAPLACE_TEST_SLOWNESS": str(2 * float(os.environ.get("LAPLACE_TEST_SLOWNESS") or 1)),
        }
        errors = self._folder / "errors"
        with errors.open("w") as stream:
            command = [sys.executable, *arguments]
            done = subprocess.run(command, env=environment, cwd=self._folder, stderr=stream)
        reports = Reports()
        for path in [errors, *sorted(self._folder.glob("report.*"))]:
            reports.add(path.read_text(errors="replace"))
            path.unlink()
        return done.returncode, reports

    def check(self) -> None:
        """Raises SystemExit unless a fault in the modules would be reported."""
        files = f"assert {str(self._folder)!r} in _core.__file__ and _core.__file__; "
        files += f"assert {str(self._folder)!r} in _frames.__file__"
        status, reports = self.run("-c", IMPORT + files)
        if status != 0 or reports.own:
            raise SystemExit(f"the modules cannot be imported:\n{''.join(reports.own)}")
        for fault, words in self._kind.faults.items():
            _, reports = self.run("-c", IMPORT, leaks=fault == "leak", fault=fault)
            if not any(words in each for each in reports.own):
                raise SystemExit(f"a {fault} on purpose is not reported: no sanitizer is at work")
        print(f"reported, as made on purpose: {', '.join(self._kind.faults)}", flush=True)


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] not in KINDS:
        raise SystemExit(__doc__)
    name, *tests = arguments
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        build(KINDS[name], folder)
        sanitized = Sanitized(KINDS[name], folder)
        sanitized.check()
        runs = []
        if tests or name == "address":
            # Only Python's own output is captured: a report gets through at once.
            command = ["-m", "pytest", "-q", "-n", "3", "--timeout=300"]
            command += ["--capture=sys", "-k", LEFT_OUT, "-m", "not slow"]
            command += [str(folder / "tests" / each) for each in tests or TESTS]
            runs.append((command, False))
        if not tests:
            rounds = "4" if name == "address" else "10"
            stress = [str(folder / "tests" / "native" / "threaded_stress.py"), "--rounds", rounds]
            runs.append((stress, name == "address"))
        failed = False
        for command, leaks in runs:
            status, reports = sanitized.run(*command, leaks=leaks)
            for text in reports.own:
                print(text)
            found = f"{len(reports.own)} reports of our own code, {reports.foreign} of others"
            print(f"{name}: ended with {status}; {found}", flush=True)
            failed = failed or status != 0 or bool(reports.own)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
