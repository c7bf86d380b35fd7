"""What depends on the machine: how long things may take, and what its system does by itself."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

LINUX = sys.platform.startswith("linux")
MACOS = sys.platform == "darwin"
WINDOWS = sys.platform == "win32"


def _slowness() -> float:
    """How much more time than on a machine of one's own, with cores to spare.

    A runner shares its cores with others and now and then stands still for a tenth of a second;
    those for other systems than Linux are runners. On one core, whoever is waited for shares it
    with everybody else.
    """
    if sys.platform != "linux":
        return 5.0
    return 1.0 if len(os.sched_getaffinity(0)) > 1 else 3.0


def have_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


SLOWNESS = float(os.environ.get("LAPLACE_TEST_SLOWNESS") or _slowness())

# Threads that Windows may start for its own thread pool, whatever a test does. A server left
# running has more.
OWN_THREADS = 3 if WINDOWS else 0

_MMAP_THRESHOLD = -3  # of malloc.h


def within(seconds: float) -> float:
    """A limit of time for what is over at once, unless something is wrong or the machine busy."""
    return seconds * SLOWNESS


def memory(megabytes: float) -> float:
    """A limit of growth in bytes. Elsewhere than on Linux what was freed is given back later.

    Under AddressSanitizer there is none: it keeps what was freed, to see whether it is used.
    """
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return math.inf
    return megabytes * 2**20 * (1 if LINUX else 2)


def resident() -> int:
    """Bytes of memory that this process uses, without what the C library keeps for later."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)  # the GNU C library
        # From now on what is large is given back when it is freed, whatever was freed before.
        library.mallopt(_MMAP_THRESHOLD, 128 * 1024)
        library.malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def native_threads() -> int:
    return int(psutil.Process().num_threads())


def descriptors() -> int:
    """Open files and sockets. Windows counts much else with them: there, listening sockets."""
    process = psutil.Process()
    if hasattr(process, "num_fds"):
        # A sanitizer opens its log at the first report, whosever that is: sanitize.py.
        log = os.environ.get("LAPLACE_SANITIZER_LOG")
        reported = log is not None and Path(f"{log}.{process.pid}").exists()
        return int(process.num_fds()) - reported
    connections = getattr(process, "net_connections", None) or process.connections
    return sum(connection.status == psutil.CONN_LISTEN for connection in connections("tcp"))


# Ctrl-C as a test presses it in another process, which is started with APART. Windows sends it to
# everybody at the console; Ctrl-Break can be sent to one group of processes.
INTERRUPT: int = signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT
APART: dict[str, Any] = {}
if sys.platform == "win32":
    APART["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
