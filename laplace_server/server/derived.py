"""What classes derived from ServerLHC have in the place of its attributes.

In 0.2.0 the server read these through itself, so what a derived class makes of them counts. The
loop cannot read Python: what it answers from must not depend on them.
"""

from __future__ import annotations

import inspect
from typing import Any

from laplace_server.protocol import CMD_GET, CMD_GET_ARRAYS, CMD_INFO

INFO_NAMES = ("device", "freedom", "name", "capabilities", "name_list", "plottables_list")

_NOTHING = object()


def asks_python(server: Any, facade: type) -> frozenset[str]:
    """The commands that only Python can answer, because of what the server's class overrides."""
    commands = set()
    if any(has_property(server, facade, name) for name in INFO_NAMES):
        commands.add(CMD_INFO)
    if (
        "emit" in vars(server)
        or _own(server, facade, "emit") is not _NOTHING
        or has_property(server, facade, "on_get")
        or has_data(server, facade)
    ):
        commands |= {CMD_GET, CMD_GET_ARRAYS}
    return frozenset(commands)


def has_property(server: Any, facade: type, name: str) -> bool:
    """Whether its class has a property of that name, so that reading it runs the program's code."""
    return inspect.isdatadescriptor(_own(server, facade, name))


def hides(server: Any, facade: type, name: str) -> bool:
    """Whether its class has a value or a method of that name, which a value set later hides."""
    own = _own(server, facade, name)
    return own is not _NOTHING and not inspect.isdatadescriptor(own)


def has_data(server: Any, facade: type) -> bool:
    """Whether its class has a ``data`` of its own, which GET then shows: a property or a value."""
    own = _own(server, facade, "data")
    return own is not _NOTHING and not inspect.isroutine(own)


def _own(server: Any, facade: type, name: str) -> Any:
    """What the server's class has of that name where ``facade`` would otherwise be asked."""
    for each in type(server).__mro__:
        if name in vars(each):
            return _NOTHING if each in facade.__mro__ else vars(each)[name]
    return _NOTHING
