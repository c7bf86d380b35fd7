"""--log-level: what commands that run for long write on stderr."""

from __future__ import annotations

import logging
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
