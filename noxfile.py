"""The verbs of a developer: `nox -l` lists them, CONTRIBUTING.md tells when to use which.

A verb has a virtual environment of its own. With `--force-venv-backend none` it uses the active
one, into which it installs nothing.
"""

import os
import shutil
from pathlib import Path

import nox

nox.options.sessions = ["lint", "warnings", "test"]
nox.options.reuse_existing_virtualenvs = True

COMPILERS = ("g++", "clang++")
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")


def install(session: nox.Session, *wanted: str) -> None:
    """Install into the verb's own environment; the active one is left alone."""
    if session.virtualenv.is_sandboxed:
        session.install(*wanted)


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, into dist/; check what they hold."""
    install(session, "build", "twine", "check-wheel-contents")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", env={"LAPLACE_WERROR": "1"})
    built = sorted(str(path) for path in Path("dist").iterdir())
    session.run("python", ".ci/check_dist.py", ".", *reversed(built))
    session.run("twine", "check", "--strict", *built)
    session.run("check-wheel-contents", "dist")


@nox.session(venv_backend="none")
def rebuild(session: nox.Session) -> None:
    """Compile what changed in csrc/ for an editable install of the active environment."""
    session.run("python", "setup.py", "build_ext", "--inplace")


@nox.session
def test(session: nox.Session) -> None:
    """Install the package with its tests' tools and run them: `nox -s test -- -k stop`."""
    install(session, ".[test]")
    session.run("pytest", "-n", "6", *session.posargs, env={"LAPLACE_TEST_INSTALLED": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types, and the workflows."""
    install(session, ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy", "--strict", "--cache-dir", f"{session.create_tmp()}/mypy")
    session.run("cython-lint", "csrc")
    session.run("zizmor", "--offline", "--no-progress", ".github")
    workflows = sorted(str(path) for path in Path(".github/workflows").iterdir())
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    actions = sorted(str(path) for path in Path(".github/actions").glob("*/action.yml"))
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-actions", *actions)
    dependabot = ".github/dependabot.yml"
    session.run("check-jsonschema", "--builtin-schema", "vendor.dependabot", dependabot)


@nox.session(venv_backend="none")
def warnings(session: nox.Session) -> None:
    """Compile csrc/ with all warnings, by each compiler that is here."""
    for compiler in filter(shutil.which, COMPILERS):
        for source in sorted(Path("csrc").rglob("*.cpp")):
            # With optimisation: some warnings need the data flow that it finds.
            command = [compiler, "-std=c++17", "-O2", *WARNINGS, "-pthread"]
            command += ["-Icsrc", "-c", str(source)]
            session.run(*command, "-o", os.devnull, external=True, silent=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against 0.2.0 and the others: `nox -s bench -- --short`."""
    install(session, ".[bench]")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run the documents' examples; check their links, lists and figures."""
    install(session, ".[dev]")
    session.run("pytest", "-q", "tests/package/test_package.py", "tests/package/test_examples.py")
    session.run("pytest", "-q", "tests/package/test_wheels.py", "tests/package/test_docs.py")


@nox.session
def asan(session: nox.Session) -> None:
    """Run the rough tests on a core built with address and undefined-behaviour sanitizers."""
    install(session, ".[dev]")
    session.run("python", "tests/package/sanitize.py", "address", *session.posargs)


@nox.session
def tsan(session: nox.Session) -> None:
    """Run the threaded stress, or tests that are named, on a core built with a thread sanitizer."""
    install(session, ".[dev]")
    session.run("python", "tests/package/sanitize.py", "thread", *session.posargs)


@nox.session
def memcheck(session: nox.Session) -> None:
    """Run the native test programs, or those that are named, under valgrind."""
    install(session, ".[test]")
    session.run("python", "tests/native/memcheck.py", *session.posargs)


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Search for inputs that break the core, a minute a target: `nox -s fuzz -- scan`."""
    session.run("python", "tests/fuzz/run_fuzz.py", *(session.posargs or ["all"]))


@nox.session
def cross(session: nox.Session) -> None:
    """Compile the core for every platform of the wheels; run it where an emulator is."""
    install(session, "ziglang")
    session.run("python", "tests/package/cross.py", *session.posargs)
