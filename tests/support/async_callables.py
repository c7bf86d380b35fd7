"""What only makes a coroutine when it is called, in every form that a program may hand over."""

from __future__ import annotations

import functools
from typing import Any


class AsyncObject:
    async def __call__(self, *arguments: Any) -> None: ...


class AsyncMethod:
    async def method(self, *arguments: Any) -> None: ...

    @classmethod
    async def of_the_class(cls, *arguments: Any) -> None: ...


async def async_function(*arguments: Any) -> None: ...


async def async_generator(*arguments: Any) -> Any:
    yield


ASYNC = [
    async_function,
    async_generator,
    functools.partial(async_function, 1),
    functools.partial(functools.partial(async_function), 1),
    AsyncMethod().method,
    AsyncMethod.of_the_class,
    functools.partial(AsyncMethod().method, 1),
    AsyncObject(),
    functools.partial(AsyncObject()),
    AsyncObject().__call__,
    staticmethod(async_function),
]
