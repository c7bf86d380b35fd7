"""Run rough tests on a core built with a sanitizer: ``python tests/package/sanitize.py address``.

``address`` (with undefined behaviour) or ``thread``. The build goes to a folder of its own and the
installed package is left alone. GCC's or Clang's runtime library must be there. libzmq and Python
are not instrumented, so with ``thread`` only reports that name this project's functions count;
the others are told by number.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}
SWITCH = {"address": "address,undefined", "thread": "thread"}
TESTS = [
    "server/test_stress.py",
    "server/test_order.py",
    "server/test_limits.py",
    "server/test_peers.py",
    "server/test_deaf_peers.py",
    "server/test_leaving_peers.py",
    "server/test_stop.py",
    "server/test_stop_at_work.py",
    "server/test_hostile.py",
    "server/test_hostile_handshakes.py",
    "server/test_hostile_messages.py",
    "server/test_connection_ends.py",
    "server/test_lifetime.py",
    "streams/test_streams.py",
    "streams/test_stream_server.py",
    "streams/test_stream_corners.py",
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
    "server/test_data_moment.py",
    "client/test_conversation.py",
    "client/test_connection.py",
    "client/test_connection_servers.py",
    "client/test_connection_hostile.py",
    "client/test_connection_ends.py",
    "client/test_connection_interrupts.py",
]
# Time limits that a slow build breaks, memory that a sanitizer uses, children without it.
LEFT_OUT = "not process and not fork and not memory and not debug and not spawn and not thousand"
# Where there is no memory for what a peer announces, malloc says so, and the tests go on.
ASAN_OPTIONS = "detect_leaks=0:handle_segv=0:allocator_may_return_null=1"
OWN = re.compile(r"laplace::|__pyx_|ls_scan|/csrc/|\.px[ydi]\b")


def runtime(name: str) -> str:
    compiler = os.environ.get("CXX", "g++")
    path = subprocess.run(
        [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(path).is_absolute():
        raise SystemExit(f"{compiler} has no {name}")
    return str(Path(path).resolve())


def build(kind: str, folder: Path) -> None:
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    shutil.copytree(
        ROOT / "laplace_server",
        folder / "laplace_server",
        ignore=shutil.ignore_patterns("*.so", "__pycache__"),
    )
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env={**os.environ, "LAPLACE_SANITIZE": SWITCH[kind]},
        check=True,
    )


def run(kind: str, folder: Path, tests: list[str]) -> int:
    reports = folder / "report"
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(map(runtime, LIBRARIES[kind])),
        "PYTHONPATH": str(folder),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"{ASAN_OPTIONS}:log_path={reports}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:log_path={reports}",
        "TSAN_OPTIONS": f"log_path={reports}:exitcode=0:report_signal_unsafe=0:history_size=4",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=300"]
    command += ["-k", LEFT_OUT, "-m", "not slow", *[str(folder / "tests" / name) for name in tests]]
    where = "from laplace_server.server import _core; from laplace_server.client import _frames; "
    where += "print(_core.__file__, _frames.__file__)"
    used = subprocess.run(
        [sys.executable, "-c", where], env=environment, cwd=folder, capture_output=True, text=True
    )
    if used.stdout.count(str(folder)) != 2:
        raise SystemExit(f"the sanitized modules cannot be imported:\n{used.stdout}{used.stderr}")
    status = subprocess.run(command, env=environment, cwd=folder).returncode
    found = foreign = 0
    for report in sorted(folder.glob("report.*")):
        for text in re.split(r"(?m)^={18,}$", report.read_text(errors="replace")):
            if not re.search(r"WARNING|ERROR|runtime error", text):
                continue
            # The accesses themselves; what follows says where memory and threads came from.
            accesses = re.split(r"(?m)^  (?:Location|Mutex|Thread) ", text)[0]
            # Messages pass between threads through libzmq, whose synchronisation is not seen.
            ours = OWN.search(accesses) and "libzmq" not in accesses
            if ours or kind == "address":
                found += 1
                print(text)
            else:
                foreign += 1
    print(
        f"{kind}: tests ended with {status}; {found} reports of our own code, {foreign} of others"
    )
    return 1 if found else status


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in SWITCH:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        build(sys.argv[1], Path(folder))
        return run(sys.argv[1], Path(folder), sys.argv[2:] or TESTS)


if __name__ == "__main__":
    raise SystemExit(main())
