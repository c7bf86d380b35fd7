"""Run the core's test programs under valgrind: ``python tests/native/memcheck.py [names]``.

Without Python, as test_native.py builds them. An invalid read or write, a decision on memory that
was never written, and memory that is definitely lost fail it. Not under valgrind are those that use
up the descriptors (it has some of its own), those that look for secrets in memory that nobody has
written, and, unless they are named, those that check so much that it would take minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support.native_build import COMPILE, compiler  # noqa: E402

STATUS = 99
VALGRIND = [
    "valgrind",
    "-q",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--show-leak-kinds=definite",
    f"--error-exitcode={STATUS}",
    "--fair-sched=yes",  # or a thread that spins keeps the others out
    "--soname-synonyms=somalloc=nouserintercepts",  # support/failing_memory.cpp has an operator new
]
PROGRAMS = [
    "zmtp_test",
    "tcp_bytes_test",
    "transfer_test",
    "peer_queues_test",
    "clients_test",
    "roles_test",
    "stream_sender_test",
    "stream_alone_test",
    "stream_silence_test",
    "in_place_test",
    "curve_test",
    "curve_serve_test",
]
FAULTS = {
    "a read of freed memory": "int* p = new int(argc); delete p; return *p;",
    "memory never written": "int* p = new int; int n = *p; delete p; return n > 7 ? 0 : 1;",
    "a leak": "int* volatile p = new int(argc); p = nullptr; return 0;",
}


def check_valgrind(folder: Path) -> None:
    """Raises SystemExit unless valgrind tells of faults made on purpose."""
    if shutil.which("valgrind") is None:
        raise SystemExit("there is no valgrind: apt-get install valgrind, or the like")
    for name, body in FAULTS.items():
        source, program = folder / "fault.cpp", folder / "fault"
        source.write_text(f"int main(int argc, char**) {{ static_cast<void>(argc); {body} }}\n")
        command = [*compiler(), *COMPILE, "-O0", "-w", str(source), "-o", str(program)]
        subprocess.run(command, check=True)
        done = subprocess.run([*VALGRIND, str(program)], capture_output=True)
        if done.returncode != STATUS:
            raise SystemExit(f"{name}, made on purpose, is not reported: valgrind finds nothing")
    print(f"reported, as made on purpose: {', '.join(FAULTS)}", flush=True)


def main(names: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        check_valgrind(Path(folder))
    chosen = " or ".join(names or PROGRAMS)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"]
    command += ["--durations=0", "--durations-min=5", "--timeout=600", str(HERE / "test_native.py")]
    command += ["-k", f"({chosen}) and not test_threads"]
    environment = {**os.environ, "LAPLACE_TEST_UNDER": " ".join(VALGRIND)}
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
