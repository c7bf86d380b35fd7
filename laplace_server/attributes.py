"""The attributes of a ServerLHC whose values the engine knows.

In 0.2.0 they were plain attributes. Until the constructor has run they are so here, too: a derived
class may set them before ``super().__init__()``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar, overload

from laplace_server.engine import ENGINE, Engine

if TYPE_CHECKING:
    from laplace_server.server_lhc import ServerLHC

T = TypeVar("T")


def engine_if_made(server: ServerLHC) -> Engine | None:
    """The server's engine; None before its constructor has made one."""
    engine = vars(server).get(ENGINE)
    return engine if isinstance(engine, Engine) else None


class Known(Generic[T]):
    """An attribute read from the engine."""

    def __init__(self, doc: str, read: Callable[[ServerLHC, Engine], T]) -> None:
        self.__doc__ = doc
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, server: None, owner: type) -> Known[T]: ...
    @overload
    def __get__(self, server: ServerLHC, owner: type | None = None) -> T: ...
    def __get__(self, server: ServerLHC | None, owner: type | None = None) -> Known[T] | T:
        if server is None:
            return self
        engine = engine_if_made(server)
        if engine is not None:
            return self._read(server, engine)
        try:
            value: T = vars(server)[self.name]
        except KeyError:
            kind = type(server).__name__
            raise AttributeError(f"{kind!r} object has no attribute {self.name!r} yet") from None
        return value


class Attribute(Known[T]):
    """One that can be set. What the engine has to know it is told by ``ServerLHC.__setattr__``."""

    def __init__(
        self,
        doc: str,
        read: Callable[[ServerLHC, Engine], T],
        write: Callable[[ServerLHC, T], None] = lambda server, value: None,
    ) -> None:
        super().__init__(doc, read)
        self._write = write

    def __set__(self, server: ServerLHC, value: T) -> None:
        if engine_if_made(server) is None:
            vars(server)[self.name] = value
        else:
            self._write(server, value)


class Fixed(Known[T]):
    """One that cannot be set, as in 0.2.0."""

    def __set__(self, server: ServerLHC, value: NoReturn) -> None:
        if engine_if_made(server) is not None:
            raise AttributeError(f"{self.name!r} of {type(server).__name__!r} cannot be set")
        vars(server)[self.name] = value


class View(Generic[T]):
    """An attribute that 0.2.0 does not have: a program's own of that name hides it."""

    def __init__(self, doc: str, read: Callable[[Engine], T]) -> None:
        self.__doc__ = doc
        self._read = read

    @overload
    def __get__(self, server: None, owner: type) -> View[T]: ...
    @overload
    def __get__(self, server: ServerLHC, owner: type | None = None) -> T: ...
    def __get__(self, server: ServerLHC | None, owner: type | None = None) -> View[T] | T:
        if server is None:
            return self
        engine = engine_if_made(server)
        if engine is None:
            raise AttributeError("the server's constructor has not run yet")
        return self._read(engine)
