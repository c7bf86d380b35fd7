"""Check what an sdist and a wheel hold: check_dist.py CHECKOUT SDIST WHEEL..."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

SOURCES = {".pyx", ".pxd", ".pxi", ".c", ".cpp", ".h"}


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
    generated = [name for name in held if name.startswith("build/") or name == "csrc/_core.cpp"]
    if generated:
        sys.exit(f"generated files in the sdist: {generated}")


def check_wheel(checkout: str, wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")}
    package = {path for path in held if path.parts[0] == "laplace_server"}
    modules = {path for path in package if path.suffix in (".so", ".pyd")}
    expected = {
        PurePosixPath(name) for name in tracked(checkout) if name.startswith("laplace_server/")
    }
    if len(modules) != 1:
        sys.exit(f"one compiled module expected, got {modules}")
    if package - modules != expected:
        sys.exit(f"wrong in the wheel: {sorted(map(str, (package - modules) ^ expected))}")
    others = [path for path in held - package if not path.parts[0].endswith(".dist-info")]
    sources = [path for path in held if path.suffix in SOURCES]
    if others or sources:
        sys.exit(f"should not be in the wheel: {others + sources}")
    if PurePosixPath("laplace_server/py.typed") not in package:
        sys.exit("py.typed is not in the wheel")


if __name__ == "__main__":
    checkout, sdist, *wheels = sys.argv[1:]
    check_sdist(checkout, sdist)
    for wheel in wheels:
        check_wheel(checkout, wheel)
    print(f"{Path(sdist).name} and {', '.join(Path(wheel).name for wheel in wheels)} are complete")
