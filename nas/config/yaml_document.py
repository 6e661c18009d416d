"""Reads YAML that a user wrote: safely, as YAML 1.2 scalars, remembering the line of every value.

A `Document` is plain data plus a table from key path to line, so that whoever validates the data can say where.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

import yaml

from nas.errors import NasError, SpaceError, nearest
from nas.text.formatting import shorten

Scalar = str | int | float | bool
KeyPath = tuple[str | int, ...]
T = TypeVar("T")

_MAX_BYTES = 1 << 18  # a hand-written file is a few kilobytes; a megabyte takes PyYAML ten seconds
_MAX_DEPTH = 64
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")}


_Parser: Any = yaml.SafeLoader
if yaml.__with_libyaml__:
    _Events: Any = yaml.CSafeLoader

    class _Parser(yaml.composer.Composer, _Events):  # type: ignore[no-redef, misc]
        """Events from libyaml, which takes a quarter of the time; nodes from Python, which remembers their lines."""

        def __init__(self, text: str) -> None:
            _Events.__init__(self, text)
            yaml.composer.Composer.__init__(self)


class _Loader(_Parser):  # type: ignore[misc]
    """PyYAML reads YAML 1.1, where `on` is true and `3e6` a string; users expect the YAML 1.2 core rules."""

    yaml_implicit_resolvers: dict[str, Any] = {}
    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Composes a node and, through this method, those in it."""
        self.level += 1
        if self.level > _MAX_DEPTH + 1:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {_MAX_DEPTH} levels", mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.level -= 1
        return node


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


class FieldError(ValueError):
    """A field of a dataclass holds what its `__post_init__` refuses."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field


def read_text(path: Path, error: type[NasError]) -> str:
    """The text of a hand-written file; raises `error` when it cannot be read."""
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for
            raise error(f"{path}: is no file")
        if path.stat().st_size > _MAX_BYTES:
            raise error(f"{path}: larger than {_MAX_BYTES >> 10} KiB; a file of this kind is written by hand")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise error(f"{path}: not a text file in UTF-8") from None
    except OSError as problem:
        raise error(f"{path}: cannot be read: {problem.strerror}") from None
    return text


class Document:
    """One YAML file as plain data, with the line on which every key path stands."""

    def __init__(self, path: Path, text: str, error: type[NasError] = SpaceError) -> None:
        self.path = path
        self.text = text
        self.error = error
        self.lines: dict[KeyPath, int] = {(): 1}
        try:
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as problem:
            mark = problem.problem_mark or problem.context_mark
            line = f":{mark.line + 1}" if mark else ""
            raise error(f"{path}{line}: not valid YAML: {problem.problem or problem.context}") from None
        except (yaml.YAMLError, UnicodeEncodeError) as problem:
            raise error(f"{path}: not valid YAML: {str(problem).splitlines()[0]}") from None
        if root is None:
            raise error(f"{path}: the file is empty")
        self._seen: set[int] = set()
        self.data = self._convert(root, ())

    @classmethod
    def load(cls, path: Path, error: type[NasError] = SpaceError) -> Document:
        """Reads `path`; raises `error` when it cannot be read or is not YAML."""
        return cls(path, read_text(path, error), error)

    def _convert(self, node: yaml.Node, where: KeyPath) -> Any:
        self.lines.setdefault(where, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            if node.tag not in _PLAIN:
                self.fail(where, f"the tag {node.tag} is not plain data")
            try:
                return yaml.constructor.SafeConstructor().construct_object(node)
            except (yaml.YAMLError, ValueError):
                self.fail(where, f"cannot read the value {shorten(node.value)} as {node.tag.rpartition(':')[2]}")
        # An alias gives the same node object twice; expanded naively, a few lines become gigabytes.
        if id(node) in self._seen:
            self.fail(where, "anchors and aliases are not part of the grammar; name a sub-graph instead")
        self._seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            return [self._convert(item, (*where, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.error(f"{self.path}:{line}: a key must be a word")
            key = str(key_node.value)
            if key in result:
                raise self.error(f"{self.path}:{line}: duplicate key '{key}'")
            self.lines[(*where, key)] = line
            result[key] = self._convert(value_node, (*where, key))
        return result

    def line(self, where: KeyPath) -> int:
        """The line of `where`, or of the closest ancestor that stands in the file."""
        while where not in self.lines:
            where = where[:-1]
        return self.lines[where]

    def fail(self, where: KeyPath, message: str) -> NoReturn:
        """Raises the document's error as ``file:line: message``."""
        raise self.error(f"{self.path}:{self.line(where)}: {message}")

    def mapping(self, where: KeyPath, data: Any, what: str) -> dict[str, Any]:
        """`data`, if it is a mapping."""
        if not isinstance(data, dict):
            self.fail(where, f"{what} must be a mapping, not {shorten(data)}")
        return data

    def check_keys(self, where: KeyPath, data: dict[str, Any], known: typing.Iterable[str], what: str) -> None:
        """Refuses keys of `data` outside `known`."""
        known = list(known)
        for key in data:
            if key not in known:
                self.fail(
                    (*where, key), f"{what}: unknown key '{key}'{nearest(key, known) or '; known: ' + ', '.join(known)}"
                )

    def dataclass(self, cls: type[T], where: KeyPath = (), data: Any = None, what: str | None = None) -> T:
        """Builds the frozen dataclass `cls` from the mapping at `where`, checking keys and types.

        A `FieldError` from the dataclass' own `__post_init__` is reported at the line of its key, or of the mapping where
        that lacks the key.
        """
        if data is None:
            data = self.data
            for step in where:
                data = data[step]
        what = what or cls.__name__.lower()
        mapping = self.mapping(where, data, what)
        hints = hints_of(cls)
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        self.check_keys(where, mapping, fields, what)
        values = {key: self._typed(value, hints[key], (*where, key), key) for key, value in mapping.items()}
        for name, field in fields.items():
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and name not in values:
                self.fail(where, f"{what}: the key '{name}' is missing")
        try:
            return cls(**values)
        except FieldError as problem:
            self.fail((*where, problem.field) if problem.field in mapping else where, f"{what}: {problem}")

    def _typed(self, value: Any, hint: Any, where: KeyPath, what: str) -> Any:
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            for option in args:
                if option is type(None):
                    if value is None:
                        return None
                elif _matches(value, option):
                    return self._typed(value, option, where, what)
            names = ", ".join(_describe(option) for option in args)
            self.fail(where, f"{what}: must be one of {names}, not {shorten(value)}")
        if not _matches(value, hint):
            hint_text = nearest(value, args) if origin is Literal else ""
            self.fail(where, f"{what}: must be {_describe(hint)}, not {shorten(value)}{hint_text}")
        if dataclasses.is_dataclass(hint):
            return self.dataclass(typing.cast(type, hint), where, value, what)
        if origin is tuple:
            return tuple(self._typed(item, args[0], (*where, i), f"{what}[{i}]") for i, item in enumerate(value))
        if origin is dict:
            return {key: self._typed(item, args[1], (*where, key), f"{what}.{key}") for key, item in value.items()}
        return float(value) if hint is float else value


_HINTS: dict[type, dict[str, Any]] = {}


def hints_of(cls: type) -> dict[str, Any]:
    """The types of the fields of a dataclass, worked out once: 55 published configs ask 700 times."""
    if cls not in _HINTS:
        _HINTS[cls] = typing.get_type_hints(cls)
    return _HINTS[cls]


def _matches(value: Any, hint: Any) -> bool:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in args)
    if hint is Any:
        return True
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, list)
    if origin is dict or dataclasses.is_dataclass(hint):
        return isinstance(value, dict)
    return isinstance(value, origin or hint)


def _describe(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(repr(option) for option in args)
    if dataclasses.is_dataclass(hint) or origin is dict:
        return "a mapping"
    if origin is tuple:
        return "a list"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    return names.get(hint, str(hint))
