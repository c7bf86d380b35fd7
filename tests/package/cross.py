"""Compile the core for each platform of the wheels: ``python tests/package/cross.py [TARGET ...]``.

The compiler and all headers come with ``pip install ziglang``; the first run takes minutes, since
it builds each platform's C++ library too. The whole server (``native/serve_test.cpp``) and the
tests of the parts that meet the system or the wire are linked for each target and run where this
machine has an emulator for it; the server with the libzmq of pyzmq's wheel for that platform, which
pip downloads into a temporary folder. What cannot be run is no failure, but told with what to
install. Returns 1 if anything failed. An emulated run says nothing of speed, and qemu on x86_64
orders memory more strictly than an ARM processor.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "tests" / "native"
CORE = sorted((ROOT / "csrc").rglob("*.cpp"))
SERVER = "serve_test"
PARTS = [
    "address_test",
    "incoming_test",
    "message_reader_test",
    "message_test",
    "poller_test",
    "tcp_bytes_test",
    "tcp_test",
    "transfer_test",
    "unsent_test",
    "zmtp_cuts_test",
    "zmtp_test",
]
# What one of them is linked of beside itself and the core.
BESIDE = {
    SERVER: [path for path in sorted(NATIVE.glob("serve_*.cpp")) if path.stem != SERVER],
    **{name: [NATIVE / "support" / "failing_memory.cpp"] for name in PARTS},
}
# Starts itself anew, which an emulator cannot do.
NOT_EMULATED = "tcp_test"
FLAGS = [
    f"-I{ROOT / 'csrc'}",
    f"-I{NATIVE}",
    "-std=c++17",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wshadow",
    "-Werror",
]
COMPILE_LIMIT_S = 1800
RUN_LIMIT_S = 600
DYNAMIC = ("-ldl", "-pthread")
# dlopen needs a dynamic program. Threads get as much stack as musl gives them by itself: 128 KiB.
MUSL = ("-dynamic", "-Wl,-z,stack-size=131072")
GLIBC_WHEEL = "27.1.0", "manylinux_2_28"
# The last with libraries that musl before 1.2.4 (Debian 12) can load: no RELR relocations.
MUSL_WHEEL = "26.2.0", "musllinux_1_1"
# The last with libzmq as a DLL of its own.
WINDOWS_WHEEL = "25.1.2", "win"


class Missing(Exception):
    """This machine cannot do it; the text says what it lacks."""


class Failed(Exception):
    """Something that should work does not."""


@dataclass(frozen=True)
class Runner:
    """How a foreign program is started."""

    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    emulates: bool = False
    serves: tuple[str, ...] = ()
    """By which transports alone, where not all of them work."""


@dataclass(frozen=True)
class Target:
    """A platform as zig names it, and whose libzmq and which emulator belong to it."""

    name: str
    runner: Callable[[Path], Runner]
    pyzmq: tuple[str, str] | None = None
    link: tuple[str, ...] = ()

    @property
    def machine(self) -> str:
        return self.name.split("-")[0]


def run(
    command: Sequence[str | Path], limit_s: float, environment: Mapping[str, str] | None = None
) -> str:
    """Standard output of a command.

    Raises:
        Failed: it took longer than ``limit_s`` seconds, or ended with another status than 0.
    """
    env = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired as problem:
        raise Failed(f"no end within {limit_s:g} s") from problem
    output = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        told = output + done.stderr.decode(errors="replace")
        raise Failed(f"status {done.returncode}\n{told.strip()}")
    return output


# ---- compiling


def zig(target: Target, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "ziglang", "c++", "-target", target.name, *arguments]
    run(command, COMPILE_LIMIT_S)


def compiled(target: Target, folder: Path) -> dict[Path, Path]:
    """Compile each source; the object files by source."""

    def compile_one(source: Path) -> Path:
        made = folder / f"{source.stem}.o"
        zig(target, *FLAGS, "-c", source, "-o", made)
        return made

    sources = [*CORE, *(NATIVE / f"{name}.cpp" for name in BESIDE)]
    sources += dict.fromkeys(source for each in BESIDE.values() for source in each)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(sources, pool.map(compile_one, sources), strict=True))


def linked(target: Target, objects: dict[Path, Path], folder: Path) -> dict[str, Path]:
    """Link the programs; where each is, by name."""

    def link(name: str) -> Path:
        program = folder / (f"{name}.exe" if "windows" in target.name else name)
        parts = [objects[source] for source in (NATIVE / f"{name}.cpp", *BESIDE[name], *CORE)]
        zig(target, *parts, *target.link, "-o", program)
        return program

    return {name: link(name) for name in BESIDE}


# ---- running


def linux(machine: str, loader: str, packages: str) -> Callable[[Path], Runner]:
    """Run directly, or by qemu, where the C library's loader is found.

    Packages of another machine need ``dpkg --add-architecture`` and ``apt-get update`` before.
    """

    def find(folder: Path) -> Runner:
        if sys.platform != "linux":
            raise Missing("runs on Linux only")
        if platform.machine() == machine:
            if Path(loader).exists():
                return Runner()
            raise Missing(f"apt-get install {packages}")
        emulator = shutil.which(f"qemu-{machine}")
        for root in ("/", f"/usr/{machine}-linux-gnu"):
            if emulator is not None and Path(root + loader).exists():
                return Runner([emulator, "-L", root], emulates=True)
        raise Missing(f"apt-get install qemu-user {packages}")

    return find


def macos(folder: Path) -> Runner:
    raise Missing("runs on a Mac only, where tests/native/test_native.py does it")


def windows(folder: Path) -> Runner:
    if sys.platform == "win32":
        return Runner()
    wine, server = shutil.which("wine"), shutil.which("wineserver")
    if wine is None or server is None:
        raise Missing("apt-get install wine wine64")
    environment = {
        "WINEPREFIX": str(folder / "wine"),
        "TMPDIR": str(folder),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=",  # asks for no downloads
        "LC_ALL": "C.UTF-8",
    }
    try:
        run([wine, "wineboot", "--init"], RUN_LIMIT_S, environment)
    except Failed as problem:
        raise Missing(f"wine does not start: {problem}") from problem
    # wine knows no TCP_MAXRT, and libzmq closes each connection for which it cannot set that.
    return Runner([wine], environment, serves=("tcp",))


def libzmq_of(target: Target, folder: Path) -> Path:
    """Path of the libzmq in pyzmq's wheel for the target, with what it needs beside it."""
    assert target.pyzmq is not None
    version, tag = target.pyzmq
    machine = "amd64" if tag == "win" else target.machine
    wheel = ["--platform", f"{tag}_{machine}", "--python-version", "3.12", f"pyzmq=={version}"]
    options = ["--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(folder)]
    try:
        run([sys.executable, "-m", "pip", "download", *options, *wheel], RUN_LIMIT_S)
    except Failed as problem:
        raise Missing(f"pip download pyzmq=={version}: {str(problem).splitlines()[-1]}") from None
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        members = [name for name in archive.namelist() if name.startswith("pyzmq.libs/")]
        archive.extractall(folder, members)
    return next((folder / "pyzmq.libs").glob("libzmq*"))


def ran(target: Target, programs: Mapping[str, Path], folder: Path) -> str:
    """Run the programs; how many checks they made, and by what they were run."""
    runner = target.runner(folder)
    library = libzmq_of(target, folder)
    environment = {**runner.environment, "TMPDIR": str(folder)}
    names = [name for name in programs if not runner.emulates or name != NOT_EMULATED]
    checks = 0
    try:
        for name in names:
            arguments = [library, *runner.serves] if name == SERVER else []
            try:
                output = run(
                    [*runner.command, programs[name], *arguments], RUN_LIMIT_S, environment
                )
            except Failed as problem:
                raise Failed(f"{name}: {problem}") from problem
            checks += int(output.splitlines()[-1].split()[0])
    finally:
        if "WINEPREFIX" in environment:  # its server would outlive us and use the folder
            for command in ("--kill", "--wait"):
                subprocess.run(["wineserver", command], env={**os.environ, **environment})
    by = Path(runner.command[0]).name if runner.command else "directly"
    return f"{len(names)} programs, {checks} checks, none failed ({by}, {library.name})"


TARGETS = [
    Target(
        "x86_64-linux-gnu.2.28",
        linux("x86_64", "/lib64/ld-linux-x86-64.so.2", "libc6-amd64-cross libstdc++6-amd64-cross"),
        GLIBC_WHEEL,
        DYNAMIC,
    ),
    Target(
        "aarch64-linux-gnu.2.28",
        linux("aarch64", "/lib/ld-linux-aarch64.so.1", "libc6-arm64-cross libstdc++6-arm64-cross"),
        GLIBC_WHEEL,
        DYNAMIC,
    ),
    Target(
        "x86_64-linux-musl",
        linux("x86_64", "/lib/ld-musl-x86_64.so.1", "musl:amd64"),
        MUSL_WHEEL,
        MUSL,
    ),
    Target(
        "aarch64-linux-musl",
        linux("aarch64", "/lib/ld-musl-aarch64.so.1", "musl:arm64"),
        MUSL_WHEEL,
        MUSL,
    ),
    Target("x86_64-macos.11.0", macos),
    Target("aarch64-macos.11.0", macos),
    Target("x86_64-windows-gnu", windows, WINDOWS_WHEEL, ("-liphlpapi", "-lws2_32")),
]


def checked(target: Target, folder: Path) -> bool:
    """Do what can be done for a target and tell it in one line; False if something failed."""
    folder.mkdir()
    steps: list[str] = []
    failed = False
    try:
        objects = compiled(target, folder)
        steps.append("compiled")
        programs = linked(target, objects, folder)
        steps.append("linked")
        steps.append(f"ran: {ran(target, programs, folder)}")
    except Missing as problem:
        steps.append(f"not run: {problem}")
    except Failed as problem:
        steps.append(f"FAILED: {problem}")
        failed = True
    print(f"{target.name:24}{', '.join(steps)}", flush=True)
    return not failed


def main() -> int:
    if importlib.util.find_spec("ziglang") is None:
        print("skipped: pip install ziglang")
        return 0
    wanted = sys.argv[1:]
    chosen = [target for target in TARGETS if not wanted or target.name in wanted]
    if not chosen or len(chosen) < len(set(wanted)):
        print(f"the targets are {', '.join(target.name for target in TARGETS)}")
        return 2
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        results = [checked(target, Path(folder, target.name)) for target in chosen]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
