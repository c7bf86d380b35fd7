"""Who looks at a folder of keys while servers run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

PERIOD_S = 1.0
_PATIENCE_S = 0.1


class FolderWatch:
    """Looks once a second as long as anybody wants it, in a thread of its own.

    A folder on a network drive may keep who looks at it waiting for minutes. So the thread that
    looks has nothing else to do, nobody waits for it, and the process may end without it.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._condition = threading.Condition()
        self._wanted = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look now and from now on.

        Raises:
            RuntimeError: the system has no thread left.
        """
        with self._condition:
            # In a forked child, the parent's thread counts as ended.
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="folder of keys", daemon=True)
                thread.start()
                self._thread = thread
            self._wanted += 1

    def end(self) -> None:
        """One less wants it; nobody any more: the thread ends, as soon as it does not look."""
        with self._condition:
            self._wanted -= 1
            if self._wanted:
                return
            thread = self._thread
            self._condition.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE_S)

    def _run(self) -> None:
        while True:
            try:
                self._look()
            except Exception:  # who was to tell of a problem had one; the next look counts as ever
                sys.excepthook(*sys.exc_info())
            with self._condition:
                self._condition.wait_for(lambda: not self._wanted, PERIOD_S)
                if not self._wanted:
                    self._thread = None
                    return
