"""Methods whose texts stand at the client for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from laplace_server.client.sync.client import ClientLHC

__all__ = ["as_of_client"]

Method = TypeVar("Method", bound=Callable[..., Any])


def as_of_client(method: Method) -> Method:
    """Give a method the text of ClientLHC's of that name."""
    method.__doc__ = getattr(ClientLHC, method.__name__).__doc__
    return method
