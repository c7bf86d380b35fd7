"""--log-level: what commands that run for long write on stderr, and what is told elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from laplace_server.protocol import LOGGER_NAME

_NAMES = (LOGGER_NAME, "laplace.client")


class LogLevel(str, Enum):
    """What is logged, and all that is more serious."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def log_from(level: LogLevel, *names: str) -> None:
    """Have the package's log on stderr from this level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name in names or _NAMES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level.name)


@contextmanager
def errors_not_logged() -> Iterator[None]:
    """Keep what is wrong with an argument out of the log: it is raised as well, and told then."""
    logger = logging.getLogger(LOGGER_NAME)

    def is_no_error(record: logging.LogRecord) -> bool:
        return record.levelno < logging.ERROR

    logger.addFilter(is_no_error)
    try:
        yield
    finally:
        logger.removeFilter(is_no_error)


def keep_from_the_log(*texts: str) -> None:
    """Have messages of these texts, before their arguments, not logged: the command tells them."""
    for name in _NAMES:
        logging.getLogger(name).addFilter(lambda record: record.msg not in texts)


def log_callbacks_briefly() -> None:
    """Have what a callback could not do of a client's wish logged as a line, without traceback."""

    def shorten(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if record.msg.endswith(" raised.") and isinstance(error, (OSError, ValueError)):
            record.msg, record.args = "%s: %s", (record.getMessage().rstrip("."), error)
            record.exc_info = None
        return True

    logging.getLogger(LOGGER_NAME).addFilter(shorten)
