"""The package's loggers: what a program's log handler raises changes nothing but the log."""

from __future__ import annotations

import logging
import threading
from typing import Any


class Log:
    """Writes to the logger of a name and survives whatever its handlers and filters raise.

    A window that shows the log may be gone, a disk full: that must not keep a callback from being
    called or a request from being answered. Ctrl-C alone passes, where Python raises it: in the
    main thread.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, text: str, *args: Any) -> None:
        if self.is_enabled_for(logging.DEBUG):
            self._write(logging.DEBUG, text, args)

    def info(self, text: str, *args: Any) -> None:
        if self.is_enabled_for(logging.INFO):
            self._write(logging.INFO, text, args)

    def warning(self, text: str, *args: Any) -> None:
        if self.is_enabled_for(logging.WARNING):
            self._write(logging.WARNING, text, args)

    def error(self, text: str, *args: Any) -> None:
        if self.is_enabled_for(logging.ERROR):
            self._write(logging.ERROR, text, args)

    def exception(self, text: str, *args: Any) -> None:
        """Write an error with the traceback of the exception that is being handled."""
        if self.is_enabled_for(logging.ERROR):
            self._write(logging.ERROR, text, args, exc_info=True)

    def log(self, level: int, text: str, *args: Any) -> None:
        if self.is_enabled_for(level):
            self._write(level, text, args)

    def is_enabled_for(self, level: int) -> bool:
        """Say whether a record of this level would be written."""
        try:
            return self._logger.isEnabledFor(level)
        except BaseException as problem:  # a program's own class of loggers
            _raise_if_ctrl_c(problem)
            return False

    def _write(self, level: int, text: str, args: tuple[Any, ...], exc_info: bool = False) -> None:
        try:
            # The record names who called debug(), info(), ...
            self._logger.log(level, text, *args, exc_info=exc_info, stacklevel=3)
        except BaseException as problem:
            _raise_if_ctrl_c(problem)


def _raise_if_ctrl_c(problem: BaseException) -> None:
    in_main = threading.get_ident() == threading.main_thread().ident
    if isinstance(problem, KeyboardInterrupt) and in_main:
        raise problem
