"""Check what an sdist and wheels hold: check_dist.py [--complete] CHECKOUT SDIST WHEEL...

With --complete there must be one wheel for each identifier in docs/wheels.md, and no other.
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

MODULES = ["laplace_server/client/_frames", "laplace_server/server/_core"]
SOURCES = {".pyx", ".pxd", ".pxi", ".c", ".cpp", ".h"}
# What the Windows wheel brings: libzmq and libsodium with their licences.
BUNDLED = {"libzmq.dll", "libzmq-licence.txt", "libsodium.dll", "libsodium-licence.txt"}
# What delvewheel and auditwheel add: C++ runtimes that Windows and musl systems may lack.
REPAIRED = {
    "win": re.compile(r"laplace_server\.libs/msvcp140-[0-9a-f]+\.dll"),
    "musllinux": re.compile(r"laplace_server\.libs/(libstdc\+\+|libgcc_s)-[0-9a-f]+\.so[.\d]*"),
}


def tracked(checkout: str) -> set[str]:
    """Files of the checkout that an sdist must hold."""
    command = ["git", "-C", checkout, "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    return {
        name
        for name in listed
        if name and not name.startswith(".") and Path(checkout, name).exists()
    }


def check_sdist(checkout: str, sdist: str) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if "/" in name}
    missing = tracked(checkout) - held
    if missing:
        sys.exit(f"not in the sdist (see MANIFEST.in): {sorted(missing)}")
    generated = [
        name for name in held if name.startswith("build/") or re.match("csrc/python/.*\\.cpp", name)
    ]
    if generated:
        sys.exit(f"generated files in the sdist: {generated}")


def check_wheel(checkout: str, wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")}
    package = {path for path in held if path.parts[0] == "laplace_server"}
    bundled = {path for path in package if path.parts[1] == "bundled"}
    modules = {path for path in package if path.suffix in (".so", ".pyd")} - bundled
    expected = {
        PurePosixPath(name) for name in tracked(checkout) if name.startswith("laplace_server/")
    }
    if sorted(str(path).partition(".")[0] for path in modules) != MODULES:
        sys.exit(f"wrong compiled modules: {sorted(map(str, modules))}")
    if package - modules - bundled != expected:
        sys.exit(f"wrong in the wheel: {sorted(map(str, (package - modules) ^ expected))}")
    system = identifier(wheel).split("-")[1].split("_")[0]
    if {path.name for path in bundled} != (BUNDLED if system == "win" else set()):
        sys.exit(f"wrong libraries in {Path(wheel).name}: {sorted(map(str, bundled))}")
    others = [
        str(path)
        for path in held - package
        if not path.parts[0].endswith(".dist-info")
        and not (system in REPAIRED and REPAIRED[system].fullmatch(str(path)))
    ]
    sources = [str(path) for path in held if path.suffix in SOURCES]
    if others or sources:
        sys.exit(f"should not be in the wheel: {others + sources}")
    if PurePosixPath("laplace_server/py.typed") not in package:
        sys.exit("py.typed is not in the wheel")


def identifier(wheel: str) -> str:
    """cibuildwheel's name for what a wheel is for: cp312-manylinux_x86_64."""
    _, _, python, _, tags = Path(wheel).stem.split("-")
    system = re.fullmatch(
        r"(manylinux|musllinux|linux|macosx|win)(?:_?\d+(?:_\d+)?)?_(.+)", tags.split(".")[-1]
    )
    if system is None:
        sys.exit(f"not repaired for a known system: {Path(wheel).name}")
    return f"{python}-{system[1]}_{system[2]}"


def check_complete(checkout: str, wheels: list[str]) -> None:
    text = Path(checkout, "docs", "wheels.md").read_text(encoding="utf-8")
    lists = re.findall(r"^```identifiers \w+\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    wanted = Counter(name for each in lists for name in each.split())
    built = Counter(map(identifier, wheels))
    if built != wanted:
        sys.exit(f"missing: {sorted(wanted - built)}; not expected: {sorted(built - wanted)}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    complete = arguments[0] == "--complete"
    checkout, sdist, *wheels = arguments[complete:]
    check_sdist(checkout, sdist)
    for wheel in wheels:
        check_wheel(checkout, wheel)
    if complete:
        check_complete(checkout, wheels)
    print(f"{Path(sdist).name} and {', '.join(Path(wheel).name for wheel in wheels)} are complete")
