"""Things by name, to which others may add: with a decorator, or as a package that declares an entry point.

An entry point of the registry's group names a module, or something in it, whose import adds things::

    [project.entry-points."nas.samplers"]
    mine = "my_package.sampler"

They are imported when a name is asked for that is not there, or all names: never by `import nas`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from nas.errors import NasError, nearest

T = TypeVar("T")
F = TypeVar("F")

_changes = 0


def changes() -> int:
    """How often something was added to any registry, or removed."""
    return _changes


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_OF_EXTRA = re.compile(r"[a-z]{1,16}:[A-Za-z][A-Za-z0-9_-]{0,63}")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to things of one kind.

    `what` is the kind, in words; `group` that of its entry points; `error` what is raised for a name that is unknown or taken.
    """

    def __init__(self, what: str, group: str, error: type[NasError]) -> None:
        self.what, self.group, self.error = what, group, error
        self._items: dict[str, T] = {}
        self._places: dict[str, tuple[str, str] | None] = {}
        self._loaded = False
        self._extras: dict[str, Callable[[], object]] = {}
        self._broken: list[str] = []
        self.changes = 0
        """How often something was added or removed: what was read by the names then may have to be read again."""

    def add(self, name: str, item: T, by: object = None) -> None:
        """Adds `item`; `by` is the function or class that a user wrote for it.

        Where that is defined again, as by a cell of a notebook that is run twice, it replaces the one before. Raises `error` when
        the name is none, or is taken.
        """
        if not isinstance(name, str) or not (_NAME.fullmatch(name) or self._is_of_extra(name)):
            rule = "letters, digits, '_' and '-', beginning with a letter, 64 at most"
            raise self.error(f"{self.what} {name!r}: a name is {rule}")
        place = _place(by)
        if name in self._items and (place is None or self._places.get(name) != place):
            raise self.error(f"{self.what} '{name}' exists already; give yours another name")
        self._items[name] = item
        self._places[name] = place
        self._changed()

    def add_extra(self, prefix: str, load: Callable[[], object]) -> None:
        """Names such as ``timm:eca``, with this prefix before the colon, are there once `load` was called; it is when one is asked
        for, and raises `error` where a package is missing.
        """
        self._extras[prefix] = load

    def remove(self, name: str) -> None:
        """Takes a thing out again."""
        del self._items[name]
        self._changed()

    def _changed(self) -> None:
        global _changes
        self.changes += 1
        _changes += 1

    def find(self, name: str) -> T:
        """The thing of that name. Raises `error` with all names and the nearest one when there is none."""
        if name in self:
            return self[name]
        known = f"known: {names}" if (names := ", ".join(self)) else "none is registered"
        raise self.error(f"no {self.what} '{name}'; {known}{nearest(name, self)}{self.broken}")

    @property
    def broken(self) -> str:
        """What an error about an unknown name ends with: the entry points that could not be imported."""
        return "".join(f"; {problem}" for problem in self._broken)

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            self._load(name)
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        if name not in self._items:
            self._load(name)
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(list(self._items))

    def __len__(self) -> int:
        self._load()
        return len(self._items)

    def __repr__(self) -> str:
        return f"<registry of {self.what}s: {', '.join(self)}>"

    def _is_of_extra(self, name: str) -> bool:
        return bool(_OF_EXTRA.fullmatch(name)) and name.partition(":")[0] in self._extras

    def _load(self, name: object = None) -> None:
        """Imports the entry points, once, and what a `name` with a prefix belongs to.

        One that cannot be imported is told of where a name is not found.
        """
        if isinstance(name, str) and self._is_of_extra(name):
            self._extras[name.partition(":")[0]]()
        if self._loaded:
            return
        self._loaded = True
        for point in _entry_points().select(group=self.group):
            try:
                point.load()
            except Exception as problem:  # whatever a package of others can do
                reason = " ".join(str(problem).split()) or type(problem).__name__
                self._broken.append(f"entry point '{point.name}' of {_package(point)} cannot be imported: {reason}")


@cache
def _entry_points() -> Any:  # its type is another one before Python 3.12, with the same `select`
    """Those of all packages: reading them takes as long as reading those of one group, and help asks for seven."""
    return entry_points()


def _place(by: object) -> tuple[str, str] | None:
    """Where a function or class is defined: file or module, and name."""
    module, name = getattr(by, "__module__", None), getattr(by, "__qualname__", None)
    if module is None or name is None:
        return None
    return getattr(sys.modules.get(module), "__file__", None) or module, name


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"package {point.dist.name}"


def adder(registry: Registry[T], name: str, make: Callable[[F], T]) -> Callable[[F], F]:
    """A decorator that adds what `make` makes of a function to `registry`, and returns the function."""

    def add(function: F) -> F:
        registry.add(name, make(function), function)
        return function

    return add
