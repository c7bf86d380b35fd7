"""The attributes of a ServerLHC that the engine has to do with.

In 0.2.0 they were plain attributes. Until the constructor has run they are so here, too: a derived
class may set them before ``super().__init__()``. Where its own class attribute hides one of these,
``ServerLHC.__setattr__`` does what is done here.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, Generic, NoReturn, TypeVar, overload

from laplace_server.server.context import ENGINE
from laplace_server.server.engine import Engine

T = TypeVar("T")

_UNSET = object()


def engine_if_made(server: Thread) -> Engine | None:
    """The server's engine; None before its constructor has made one."""
    engine = vars(server).get(ENGINE)
    return engine if isinstance(engine, Engine) else None


class Known(Generic[T]):
    """An attribute that ``read`` gets from the engine; without it, a value of the server's own."""

    def __init__(
        self,
        doc: str,
        read: Callable[[Thread, Engine], T] | None = None,
        default: Any = _UNSET,
    ) -> None:
        self.__doc__ = doc
        self.read = read
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, server: None, owner: type) -> Known[T]: ...
    @overload
    def __get__(self, server: Thread, owner: type | None = None) -> T: ...
    def __get__(self, server: Thread | None, owner: type | None = None) -> Known[T] | T:
        if server is None:
            return self
        if self.read is not None and (engine := engine_if_made(server)) is not None:
            return self.read(server, engine)
        value: Any = vars(server).get(self.name, self._default)
        if value is _UNSET:
            raise self._missing(server)
        return value  # type: ignore[no-any-return]

    def __delete__(self, server: Thread) -> None:
        if self.name not in vars(server):
            raise self._missing(server)
        del vars(server)[self.name]
        engine = engine_if_made(server)
        if engine is not None and self.name == "on_get":
            engine.publish_table()

    def _missing(self, server: Thread) -> AttributeError:
        return AttributeError(f"{type(server).__name__!r} object has no attribute {self.name!r}")


class Attribute(Known[T]):
    """One that can be set, and the engine is told of it.

    Set it is with ``write``; without it, what is not read from the engine is kept by the server.
    """

    def __init__(
        self,
        doc: str,
        read: Callable[[Thread, Engine], T] | None = None,
        write: Callable[[Thread, T], None] | None = None,
        default: Any = _UNSET,
    ) -> None:
        super().__init__(doc, read, default)
        self._write = write

    def __set__(self, server: Thread, value: T) -> None:
        engine = engine_if_made(server)
        if engine is None:
            vars(server)[self.name] = value
        else:
            engine.change(server, self.name, value, self._store)

    def _store(self, server: Thread, value: Any) -> None:
        if self._write is not None:
            self._write(server, value)
        elif self.read is None:
            vars(server)[self.name] = value


class Fixed(Known[T]):
    """One that cannot be set, as in 0.2.0."""

    def __set__(self, server: Thread, value: NoReturn) -> None:
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
    def __get__(self, server: Thread, owner: type | None = None) -> T: ...
    def __get__(self, server: Thread | None, owner: type | None = None) -> View[T] | T:
        if server is None:
            return self
        engine = engine_if_made(server)
        if engine is None:
            raise AttributeError("the server's constructor has not run yet")
        return self._read(engine)
