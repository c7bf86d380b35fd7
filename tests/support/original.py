"""Where laplace-server 0.2.0, the original, is installed for the tests that compare with it.

It has the import name of the package under test, so it goes into a folder of its own and is only
ever imported in a process of its own.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

REQUIREMENT = "laplace-server==0.2.0"


class OriginalUnavailable(Exception):
    """pip could not install the original; the message holds what pip said."""


def require_original() -> Path:
    """Return the original's folder for a test, which fails when it cannot be had.

    LAPLACE_SKIP_ORIGINAL=1 skips the test instead, for machines without a package index.
    """
    import pytest  # here, since the benchmarks use this module without the tests' tools

    if os.environ.get("LAPLACE_SKIP_ORIGINAL") == "1":
        pytest.skip("LAPLACE_SKIP_ORIGINAL=1: not compared with the original")
    try:
        return original_path()
    except OriginalUnavailable as error:
        pytest.fail(f"cannot install {REQUIREMENT}: {error}", pytrace=False)


@functools.cache
def original_path() -> Path:
    """Return the folder to put first in ``sys.path``, installing into it if need be.

    The cache is the folder in LAPLACE_ORIGINAL, else one in the system's temporary folder. pyzmq
    is compiled, so each Python has its own copy.

    Raises:
        OriginalUnavailable: pip failed, or the cache belongs to somebody else.
    """
    cache = _cache_folder()
    target = cache / f"laplace-server-0.2.0-{_python_tag()}"
    if not target.is_dir():
        _install(target)
    return target


def _cache_folder() -> Path:
    given = os.environ.get("LAPLACE_ORIGINAL")
    # Users of one machine may share the temporary folder, and what is in the cache gets executed.
    user = getattr(os, "getuid", lambda: "user")()
    cache = Path(given) if given else Path(tempfile.gettempdir()) / f"laplace-original-{user}"
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not given and isinstance(user, int) and cache.stat().st_uid != user:
        raise OriginalUnavailable(f"{cache} belongs to another user; set LAPLACE_ORIGINAL.")
    return cache.resolve()


def _python_tag() -> str:
    abi = sysconfig.get_config_var("SOABI") or f"{sys.implementation.cache_tag}-{sys.platform}"
    return str(abi)


def _install(target: Path) -> None:
    """Install beside ``target``, then rename: it is there whole or not at all.

    Runs at the same time may install twice; one rename wins and the others use its result.
    """
    scratch = Path(tempfile.mkdtemp(prefix="installing-", dir=target.parent))
    try:
        command = [sys.executable, "-m", "pip", "install", "--no-input", "--quiet"]
        command += ["--disable-pip-version-check", "--target", str(scratch / "lib"), REQUIREMENT]
        try:
            pip = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
                # --target and a user install exclude each other.
                env={**os.environ, "PIP_USER": "0"},
            )
        except subprocess.TimeoutExpired as error:
            raise OriginalUnavailable(f"pip took more than {error.timeout} s.") from error
        if pip.returncode != 0:
            raise OriginalUnavailable(f"{' '.join(command)}\n{pip.stdout}{pip.stderr}")
        _rename(scratch / "lib", target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rename(built: Path, target: Path) -> None:
    for attempt in range(20, -1, -1):
        try:
            built.rename(target)
            return
        except OSError as error:
            if target.is_dir():
                return
            # Windows refuses while a virus scanner looks at the new files.
            if not (isinstance(error, PermissionError) and attempt):
                raise
        time.sleep(0.5)
