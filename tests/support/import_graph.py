"""Who imports whom in a package, read from its sources without importing them.

Every import statement counts, wherever it stands: for type checkers only, in a function, lazy. Of
compiled modules count those of the stub and of the Cython source.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CYTHON_IMPORT = re.compile(r"^[ \t]*(?:from|import)[ \t]+([\w.]+)(?:[ \t]+import[ \t]+(.+))?")
_INCLUDE = re.compile(r'^include "(.+)"', re.MULTILINE)


@dataclass(frozen=True)
class Import:
    """One module imports another; both have whole names."""

    importer: str
    imported: str
    where: str
    """File and line, for whoever has to change it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.importer} imports {self.imported}"


def imports_of(package: Path, cython: Path | None = None) -> list[Import]:
    """Return the imports from one module of a package to another.

    ``cython``: the folder of the sources of its compiled modules; each has a stub in the package.
    """
    sources = {
        _module_name(package, path): path
        for pattern in ("*.pyi", "*.py")
        for path in sorted(package.rglob(pattern))
    }
    found = [
        Import(module, imported, f"{path.relative_to(package.parent).as_posix()}:{line}")
        for module, path in sources.items()
        for imported, line in _named_in(path, module, sources)
    ]
    if cython is not None:
        for path in sorted(cython.rglob("*.pyx")):
            (module,) = (name for name in sources if name.endswith(f".{path.stem}"))
            found += _cython_imports(path, module, sources)
    return [each for each in found if each.importer != each.imported]


def circles(imports: Iterable[Import]) -> list[list[Import]]:
    """Return a way round for each set of modules that import one another."""
    ways: dict[str, dict[str, Import]] = {}
    for each in imports:
        ways.setdefault(each.importer, {}).setdefault(each.imported, each)
    found: list[list[Import]] = []
    known: set[str] = set()
    for module in sorted(ways):
        if module not in known and (way := _way_back(module, ways)) is not None:
            found.append(way)
            known |= {each.importer for each in way}
    return found


def crossings(
    imports: Iterable[Import],
    floors: Sequence[Collection[str]],
    apart: Sequence[Collection[str]] = (),
) -> list[str]:
    """Return what is wrong with a package whose rooms stand on floors, the ground floor first.

    A room is a package or module right in the package; "" is the package's own ``__init__``. Inside
    a room all is allowed; else an import goes to a lower floor, and not from one of the groups of
    rooms that are ``apart`` to another.
    """
    floor_of = {room: floor for floor, rooms in enumerate(floors) for room in rooms}
    group_of = {room: group for group, rooms in enumerate(apart) for room in rooms}
    wrong = []
    for each in imports:
        here, there = _room(each.importer), _room(each.imported)
        if here == there:
            continue
        for room in (here, there):
            if room not in floor_of:
                wrong.append(f"{each}: the room {room!r} has no floor yet")
        if floor_of.get(here, 0) <= floor_of.get(there, -1):
            wrong.append(f"{each}: {there!r} is not below {here!r}")
        elif here in group_of and there in group_of and group_of[here] != group_of[there]:
            wrong.append(f"{each}: {here!r} and {there!r} are to know nothing of each other")
    return wrong


def _room(module: str) -> str:
    return [*module.split("."), ""][1]


def _module_name(package: Path, path: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _named_in(path: Path, module: str, known: Mapping[str, Path]) -> Iterator[tuple[str, int]]:
    """Yield the modules of the package that a file imports, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name in known:
                    yield each.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.split(".")
                up = up[: len(up) - node.level + (path.stem == "__init__")]
                base = ".".join([*up, base] if base else up)
            for each in node.names:
                inner = f"{base}.{each.name}"
                if inner in known:
                    yield inner, node.lineno
                elif base in known:
                    yield base, node.lineno


def _cython_imports(path: Path, module: str, known: Mapping[str, Path]) -> Iterator[Import]:
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        match = _CYTHON_IMPORT.match(line)
        if match is None:
            continue
        base, names = match[1], re.split(r"[\s,()]+", match[2] or "")
        inner = [f"{base}.{name}" for name in names if f"{base}.{name}" in known]
        for imported in inner or [base] * (base in known):
            yield Import(module, imported, f"{path.name}:{number}")
    for included in _INCLUDE.findall(text):
        yield from _cython_imports(path.parent / included, module, known)


def _way_back(start: str, ways: Mapping[str, Mapping[str, Import]]) -> list[Import] | None:
    """Return the shortest way from a module to itself."""
    come_by: dict[str, Import] = {}
    queue = [start]
    for module in queue:
        for imported, step in ways.get(module, {}).items():
            if imported not in come_by:
                come_by[imported] = step
                queue.append(imported)
    if start not in come_by:
        return None
    way = [come_by[start]]
    while way[0].importer != start:
        way.insert(0, come_by[way[0].importer])
    return way
