"""The C++ tests of the core without Python, compiled and run, plainly and under the sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
NATIVE = TESTS / "native"
SCANNER = TESTS.parent / "csrc" / "scan.cpp"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
LIBRARIES = {"linux": ["-ldl"], "win32": ["-liphlpapi"]}
LINK = ["-pthread", *LIBRARIES.get(sys.platform, [])]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

pytestmark = pytest.mark.skipif(
    not SCANNER.exists(), reason="the sources of the core (csrc/) are not beside the tests"
)


def compiler() -> list[str]:
    """The C++ compiler's command, as in `CXX="ccache g++"`; skips the test without one."""
    chosen = os.environ.get("CXX", "").split()
    for command in (chosen, ["c++"], ["g++"], ["clang++"]):
        if command and shutil.which(command[0]):
            return command
    pytest.skip("no C++ compiler: set CXX, or install g++ or clang++")


def compiled(program: Path, *flags: str, sources: list[Path]) -> subprocess.CompletedProcess[str]:
    command = [*compiler(), "-std=c++17", "-g", "-O1", *flags, *map(str, sources), *LINK, "-o"]
    return subprocess.run([*command, str(program)], capture_output=True, text=True, timeout=100)


def libzmq() -> Path:
    """The libzmq that the core uses here, as a file of its own; skips the test without one."""
    import zmq

    import laplace_server

    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    found = [Path(line.split(maxsplit=5)[5]) for line in lines if "libzmq" in line]
    beside = Path(zmq.__file__).parent
    for folder in (beside / ".dylibs", Path(laplace_server.__file__).parent / "bundled"):
        found += [path for path in folder.glob("libzmq*") if path.suffix in (".dylib", ".dll")]
    if not found:
        pytest.skip("pyzmq's libzmq is no file of its own")
    return found[0]


def require_sanitizers(folder: Path) -> None:
    """Skips where a program with the sanitizers cannot be built or does not start."""
    source = folder / "empty.cpp"
    source.write_text("int main() { return 0; }\n")
    program = folder / "empty"
    built = compiled(program, *SANITIZERS, sources=[source])
    if built.returncode != 0 or subprocess.run([program], capture_output=True).returncode != 0:
        pytest.skip("this compiler has no address and undefined-behaviour sanitizers")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
@pytest.mark.parametrize(
    ("name", "sources", "at_least"),
    [
        ("scan_test", [SCANNER], 100_000),
        ("spin_test", [], 1000),
        ("stream_test", [SCANNER.with_name("stream.cpp")], 50_000),
    ],
)
def test_native_part(
    tmp_path: Path, name: str, sources: list[Path], at_least: int, sanitized: bool
) -> None:
    if sanitized:
        require_sanitizers(tmp_path)
    flags = [*WARNINGS, *(SANITIZERS if sanitized else [])]
    program = tmp_path / name
    built = compiled(program, *flags, sources=[NATIVE / f"{name}.cpp", *sources])
    assert built.returncode == 0, built.stderr
    output = run(program)
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= at_least


@pytest.mark.parametrize("sanitized", [False, True], ids=["plain", "sanitized"])
def test_a_server_without_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sanitized: bool
) -> None:
    if sanitized:
        require_sanitizers(tmp_path)
    library = libzmq()
    # Temporary files end with the test's.
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(name, str(tmp_path))
    flags = [*WARNINGS, *(SANITIZERS if sanitized else [])]
    program = tmp_path / "serve_test"
    sources = [NATIVE / "serve_test.cpp", *sorted(SCANNER.parent.glob("*.cpp"))]
    built = compiled(program, *flags, sources=sources)
    assert built.returncode == 0, built.stderr
    output = run(program, library)
    assert ", 0 failed" in output
    assert int(output.split()[0]) >= 15_000


def test_header_is_plain_c(tmp_path: Path) -> None:
    """The header belongs to C too, and may be included twice."""
    command = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if command is None:
        pytest.skip("no C compiler")
    source = tmp_path / "header.c"
    header = SCANNER.with_suffix(".h")
    source.write_text(f'#include "{header}"\n#include "{header}"\nls_envelope envelope;\n')
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c"]
    run(command, *flags, source, "-o", tmp_path / "header.o")


def test_fuzz_target_for_a_second(tmp_path: Path) -> None:
    """A short search, so that the fuzz target and its runner stay in working order."""
    compiler()
    runner = NATIVE / "run_scan_fuzz.py"
    output = run(sys.executable, runner, "--seconds", "1", "--engine", "standalone")
    assert "nothing broken" in output
