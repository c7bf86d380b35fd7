"""The wheels that a release has: which ones, what carries them, and who checks the workflows."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.paths import CHECKOUT

LISTED = CHECKOUT / "docs" / "wheels.md"
WORKFLOWS = sorted((CHECKOUT / ".github").rglob("*.yml"))

pytestmark = pytest.mark.any_python

needs_repository = pytest.mark.skipif(not WORKFLOWS, reason="an sdist has no workflows")
needs_clone = pytest.mark.skipif(
    not (CHECKOUT / ".git").exists() or shutil.which("git") is None, reason="not a clone"
)


def tool(name: str) -> str:
    """The command of a tool that the extra `dev` installs beside this Python."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{name} is not installed: pip install '.[dev]'")
    return found


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def checked(*command: str) -> str:
    done = run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- which wheels


@functools.cache
def listed() -> dict[str, list[str]]:
    """The identifiers in docs/wheels.md, by cibuildwheel's name of the platform."""
    text = LISTED.read_text(encoding="utf-8")
    found = re.findall(r"^```identifiers (\w+)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return {platform: names.split() for platform, names in found}


@pytest.mark.parametrize("platform", ["linux", "macos", "windows"])
def test_identifiers_are_those_of_the_docs(platform: str) -> None:
    cibuildwheel = tool("cibuildwheel")
    printed = checked(cibuildwheel, "--print-build-identifiers", "--platform", platform)
    assert printed.split() == listed()[platform]


def test_every_python_and_machine_is_listed_once() -> None:
    names = [name for each in listed().values() for name in each]
    assert len(names) == len(set(names)) == 35
    assert {name.split("-")[0] for name in names} == {f"cp3{minor}" for minor in range(10, 15)}


def test_free_threaded_is_skipped_for_a_reason() -> None:
    """orjson has no wheels for it: docs/wheels.md says so."""
    pyproject = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^skip = \["cp314t-\*"\]$', pyproject, flags=re.MULTILINE)
    assert "cp314t" in LISTED.read_text(encoding="utf-8")


# ---- workflows


@needs_repository
def test_workflows_follow_their_schema() -> None:
    check = [tool("check-jsonschema"), "--builtin-schema"]
    paths = {str(path.relative_to(CHECKOUT)) for path in WORKFLOWS}
    workflows = {path for path in paths if "workflows" in Path(path).parts}
    actions = {path for path in paths if "actions" in Path(path).parts}
    assert len(workflows) == 2
    assert len(actions) == 1
    assert paths - workflows - actions == {str(Path(".github", "dependabot.yml"))}
    checked(*check, "vendor.github-workflows", *sorted(workflows))
    checked(*check, "vendor.github-actions", *sorted(actions))
    checked(*check, "vendor.dependabot", ".github/dependabot.yml")


@needs_repository
def test_zizmor_finds_nothing() -> None:
    checked(tool("zizmor"), "--offline", "--no-progress", ".github")


@needs_repository
def test_actions_are_pinned_and_jobs_end() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        for used in re.findall(r"uses: (\S+)", text):
            assert re.search(r"@[0-9a-f]{40}$", used) or used.startswith("$/"), (
                f"{path.name}: {used}"
            )
        if "workflows" in path.parts:
            jobs = len(re.findall(r"^    runs-on: ", text, flags=re.MULTILINE))
            limits = len(re.findall(r"^    timeout-minutes: ", text, flags=re.MULTILINE))
            assert jobs == limits > 0
            assert re.search(r"^  all-green:\n    if: always\(\)$", text, flags=re.MULTILINE)


@needs_repository
def test_all_green_waits_for_every_job() -> None:
    for path in WORKFLOWS:
        if "workflows" not in path.parts:
            continue
        text = path.read_text(encoding="utf-8").partition("\njobs:\n")[2]
        jobs = re.findall(r"^  ([\w-]+):$", text, flags=re.MULTILINE)
        needs = re.search(
            r"^  all-green:\n.*?needs: \[(.*?)\]", text, flags=re.MULTILINE | re.DOTALL
        )
        assert needs is not None
        assert jobs == [*needs[1].split(", "), "all-green"]


@needs_repository
def test_tools_have_one_version_in_all_workflows() -> None:
    versions: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, version in re.findall(r"([\w-]+)==([\w.]+)", path.read_text(encoding="utf-8")):
            versions.setdefault(name, set()).add(version)
    assert {"cibuildwheel", "nox"} <= set(versions)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


# ---- what is in them


def wheel_names() -> list[str]:
    """Names that cibuildwheel gives to the wheels of docs/wheels.md."""
    tags = {
        "manylinux": "manylinux_2_27_{0}.manylinux_2_28_{0}",
        "musllinux": "musllinux_1_2_{0}",
        "macosx": "macosx_11_0_{0}",
        "win": "win_{0}",
    }
    names = []
    for identifier in (name for each in listed().values() for name in each):
        python, _, machine = identifier.partition("-")
        system, _, processor = machine.partition("_")
        tag = tags[system].format(processor)
        names.append(f"laplace_server-1.0.0-{python}-{python}-{tag}.whl")
    return names


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder with an sdist and 35 wheels of the right names and files, all of them empty."""
    files = checked("git", "ls-files", "--cached", "--others", "--exclude-standard").split("\n")
    files = [name for name in files if name and (CHECKOUT / name).exists()]
    with tarfile.open(tmp_path / "laplace_server-1.0.0.tar.gz", "w:gz") as sdist:
        for name in files:
            sdist.addfile(tarfile.TarInfo(f"laplace_server-1.0.0/{name}"))
    package = [name for name in files if name.startswith("laplace_server/")]
    for wheel in wheel_names():
        held = [*package, "laplace_server-1.0.0.dist-info/RECORD"]
        held += ["laplace_server/server/_core.so", "laplace_server/client/_frames.so"]
        if "-win_" in wheel:
            held += [
                f"laplace_server/bundled/{library}{kind}"
                for library in ("libzmq", "libsodium")
                for kind in (".dll", "-licence.txt")
            ]
            held += ["laplace_server.libs/msvcp140-0a1b2c3d.dll"]
        if "-musllinux" in wheel:
            held += [f"laplace_server.libs/{name}" for name in ("libstdc++-1f1a71be.so.6.0.33",)]
            held += ["laplace_server.libs/libgcc_s-0cd532bd.so.1"]
        with zipfile.ZipFile(tmp_path / wheel, "w") as archive:
            for name in held:
                archive.writestr(name, "")
    return tmp_path


def complete(folder: Path) -> subprocess.CompletedProcess[str]:
    script = str(CHECKOUT / ".ci" / "check_dist.py")
    sdist = str(folder / "laplace_server-1.0.0.tar.gz")
    wheels = sorted(str(path) for path in folder.glob("*.whl"))
    return run(sys.executable, script, "--complete", str(CHECKOUT), sdist, *wheels)


@needs_clone
def test_a_complete_release_passes(release: Path) -> None:
    done = complete(release)
    assert done.returncode == 0, done.stderr


@needs_clone
@pytest.mark.parametrize("system", ["manylinux", "musllinux", "macosx", "win"])
def test_a_missing_wheel_is_told(release: Path, system: str) -> None:
    wheel = next(path for path in release.glob("*.whl") if f"-{system}" in path.name)
    wheel.unlink()
    done = complete(release)
    assert done.returncode == 1
    assert f"missing: ['{'-'.join(wheel.name.split('-')[2:3])}-{system}" in done.stderr


@needs_clone
@pytest.mark.parametrize(
    ("system", "added", "told"),
    [
        ("manylinux", "laplace_server/bundled/libzmq.so", "wrong libraries"),
        ("manylinux", "laplace_server.libs/libstdc++.so.6", "should not be in the wheel"),
        ("win", "laplace_server.libs/python311.dll", "should not be in the wheel"),
        ("macosx", "laplace_server/loop.cpp", "wrong in the wheel"),
        ("macosx", "laplace_server/_core.so", "wrong compiled modules"),
        ("musllinux", "tests/server/test_stop.py", "should not be in the wheel"),
    ],
)
def test_what_does_not_belong_is_told(release: Path, system: str, added: str, told: str) -> None:
    wheel = next(path for path in release.glob("*.whl") if f"-{system}" in path.name)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(added, "")
    done = complete(release)
    assert done.returncode == 1
    assert told in done.stderr


@needs_clone
def test_a_windows_wheel_without_libzmq_is_told(release: Path) -> None:
    wheel = next(release.glob("*-win_*.whl"))
    bare = next(release.glob("*-macosx_*.whl"))
    wheel.write_bytes(bare.read_bytes())
    done = complete(release)
    assert done.returncode == 1
    assert f"wrong libraries in {wheel.name}" in done.stderr


@needs_clone
@pytest.mark.parametrize("missing", ["libsodium.dll", "libsodium-licence.txt"])
def test_a_windows_wheel_without_libsodium_is_told(release: Path, missing: str) -> None:
    wheel = next(release.glob("*-win_*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        kept = [name for name in archive.namelist() if not name.endswith(missing)]
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in kept:
            archive.writestr(name, "")
    done = complete(release)
    assert done.returncode == 1
    assert f"wrong libraries in {wheel.name}" in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="Cython is not installed")
def test_a_bundle_goes_into_the_package(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "libzmq.dll").write_bytes(b"library")
    (bundle / "libzmq-licence.txt").write_text("licence")
    command = [sys.executable, "setup.py", "build_py", "--build-lib"]
    done = run(*command, str(tmp_path / "with"), LAPLACE_BUNDLE=str(bundle))
    assert done.returncode == 0, done.stderr
    bundled = tmp_path / "with" / "laplace_server" / "bundled"
    assert {path.name for path in bundled.iterdir()} == {"libzmq.dll", "libzmq-licence.txt"}
    assert (bundled / "libzmq.dll").read_bytes() == b"library"
    done = run(*command, str(tmp_path / "without"), LAPLACE_BUNDLE="")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "without" / "laplace_server" / "server" / "libzmq.py").exists()
    assert not (tmp_path / "without" / "laplace_server" / "bundled").exists()
    (bundle / "libzmq.dll").unlink()
    done = run(*command, str(tmp_path / "wrong"), LAPLACE_BUNDLE=str(bundle))
    assert done.returncode != 0
    assert "there is no libzmq in" in done.stderr


# ---- a release


@needs_repository
def test_release_notes_are_those_of_the_version() -> None:
    script = str(CHECKOUT / ".ci" / "release_notes.py")
    wrong = run(sys.executable, script, "v0.0.1")
    assert wrong.returncode == 1
    assert "version in pyproject.toml" in wrong.stderr


@needs_repository
def test_release_notes_need_a_heading(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(CHECKOUT / ".ci" / "release_notes.py", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text('version = "1.2.3"\n')
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n- New.\n")
    unprepared = run(sys.executable, script, "v1.2.3")
    assert unprepared.returncode == 1
    assert "no section '## [1.2.3]" in unprepared.stderr
    changelog.write_text(
        "## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n\n### Added\n\n- Much.\n\n"
        "## [1.2.2] - 2026-01-01\n\n- Less.\n\n[1.2.3]: https://example.org/\n"
    )
    assert checked(sys.executable, script, "v1.2.3") == "### Added\n\n- Much.\n"


def test_changelog_is_kept() -> None:
    text = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    kinds = set(re.findall(r"^### (.+)$", text, flags=re.MULTILINE))
    assert kinds
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for heading in headings[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\w*\] - \d{4}-\d\d-\d\d", heading)
