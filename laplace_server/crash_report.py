"""A report of a crash, in a file that a user can send.

    from laplace_server import crash_report
    crash_report.enable("motor-crash.txt")

Where native code fails, of whatever package, Python ends without a word. With this, the file then
has what each thread of Python was running, what each server was doing, and which versions there
are. It costs nothing until then: docs/monitoring.md.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib.metadata
import io
import os
import platform
import sys
import tempfile
import threading
import time
from pathlib import Path

from laplace_server.protocol import LOGGER_NAME
from laplace_server.server import _core
from laplace_server.wire.logs import Log
from laplace_server.wire.version import package_version

__all__ = ["disable", "enable"]

log = Log(LOGGER_NAME)

_PACKAGES = ("pyzmq", "orjson", "numpy", "PyQt6")

_lock = threading.Lock()


class _Report:
    """The file that is being written to, if something happens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = os.getpid()
        # Not through a link that somebody else has put there, and for nobody else to read: what a
        # program was doing is its user's affair.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        self._file = io.FileIO(descriptor, "w", closefd=False)
        try:
            header = _header().encode("utf-8", "backslashreplace")
            self._header = header[: self._file.write(header)]
            self._identity = _identity(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        """Remove the file of a process in which nothing has happened."""
        with contextlib.suppress(OSError):  # else the program has closed it, and reused the number
            if _identity(os.fstat(self.fileno())) == self._identity:
                os.close(self.fileno())
        if os.getpid() != self._process:  # a forked child's end is not the end
            return
        with contextlib.suppress(OSError):
            if self._is_as_it_was():
                self.path.unlink()

    def _is_as_it_was(self) -> bool:
        """Not a crash's, nor that of another process which was given the same path."""
        status = self.path.stat()
        unchanged = _identity(status) == self._identity and status.st_size == len(self._header)
        return unchanged and self.path.read_bytes() == self._header


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


_report: _Report | None = None


def enable(path: str | os.PathLike[str] | None = None) -> Path:
    """Have a crash of this process reported to a file from now on, and return its path.

    Without ``path`` it is ``laplace-crash-PID.txt`` in the system's folder for temporary files. A
    file that is there is emptied, so with the same path at each start the next start takes the
    report of a crash away. An earlier call counts no more. Where nothing happens, the file is
    removed at the end of the program; one that is ended by a signal (SIGTERM) leaves it behind,
    without a report in it.

    It takes Python's ``faulthandler``, whose output goes to this file then. On Windows, what
    servers were doing is not told.

    Raises:
        TypeError: ``path`` is no path.
        OSError: the file cannot be made.
    """
    global _report
    chosen = Path(tempfile.gettempdir(), f"laplace-crash-{os.getpid()}.txt")
    where = (chosen if path is None else Path(path)).absolute()
    with _lock:
        _disable()
        report = _Report(where)
        # The core's first: faulthandler puts its own on top, and gives way to them when it is done.
        error = _core.write_crash_notes_at_signals(report.fileno())
        faulthandler.enable(report, all_threads=True)
        _report = report
    if error and sys.platform != "win32":
        log.warning("A crash report will not tell what servers did: %s.", os.strerror(error))
    return where


def disable() -> None:
    """Report nothing any more; the file is removed. Without ``enable``, nothing happens."""
    with _lock:
        _disable()


def _disable() -> None:
    global _report
    if _report is None:
        return
    faulthandler.disable()
    _core.write_crash_notes_at_signals(-1)
    _report.close()
    _report = None


def _header() -> str:
    versions = [f"laplace-server {package_version()}"]
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    implementation = f"{platform.python_implementation()} {platform.python_version()}"
    lines = [
        "Crash report of laplace-server",
        f"begun: {time.strftime('%Y-%m-%d %H:%M:%S %z')}",
        f"process: {os.getpid()}, {' '.join(sys.orig_argv)}",
        f"python: {implementation}, {sys.executable}",
        f"platform: {platform.platform()}",
        f"packages: {', '.join(versions)}",
    ]
    lines += [
        "",
        "(If nothing is below: ended by a signal that is no crash, such as SIGTERM or SIGKILL, or",
        "by a stack that has overflowed in a thread.)",
    ]
    return "\n".join(lines) + "\n\n"


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent's may have held it


atexit.register(disable)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
