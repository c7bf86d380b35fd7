"""The package's loggers: what a program's log handler raises changes nothing but the log."""

from __future__ import annotations

import logging
from typing import Any


class Log:
    """Writes to the logger of a name and survives whatever its handlers and filters raise.

    A window that shows the log may be gone, a disk full: that must not keep a callback from being
    called or a request from being answered. Ctrl-C alone passes.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, text: str, *args: Any) -> None:
        self._write(logging.DEBUG, text, args)

    def info(self, text: str, *args: Any) -> None:
        self._write(logging.INFO, text, args)

    def warning(self, text: str, *args: Any) -> None:
        self._write(logging.WARNING, text, args)

    def error(self, text: str, *args: Any) -> None:
        self._write(logging.ERROR, text, args)

    def exception(self, text: str, *args: Any) -> None:
        """Write an error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, text, args, exc_info=True)

    def log(self, level: int, text: str, *args: Any) -> None:
        self._write(level, text, args)

    def is_enabled_for(self, level: int) -> bool:
        """Say whether a record of this level would be written."""
        return self._logger.isEnabledFor(level)

    def _write(self, level: int, text: str, args: tuple[Any, ...], exc_info: bool = False) -> None:
        if not self._logger.isEnabledFor(level):
            return
        try:
            # The record names who called debug(), info(), ...
            self._logger.log(level, text, *args, exc_info=exc_info, stacklevel=3)
        except KeyboardInterrupt:
            raise
        except BaseException:
            pass
