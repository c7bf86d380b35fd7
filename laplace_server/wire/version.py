"""The version of this package."""

from __future__ import annotations

import functools


@functools.cache
def package_version() -> str:
    """What is installed; "unknown" for a source tree that is not."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("laplace-server")
    except PackageNotFoundError:
        return "unknown"
