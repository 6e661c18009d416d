"""Functions of a user's own, a metric or a loss: how other processes get them, and what a study remembers of them.

One in a file of `--blocks` or in a package gets to another process with that. Of one that was handed over in Python, or stands in
the script or notebook itself, Ray carries the function; it is never written down. A study remembers a fingerprint of the source.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nas.config.block_files import Origin, OwnBlocks, file_of_module, module_source
from nas.errors import BlockError, SearchError

Add = Callable[[str, Callable[..., Any]], None]
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class OwnFunction:
    """A function under its name; Ray carries it to another process, which adds it there."""

    kind: str
    """What it is: metric, or loss."""
    name: str
    function: Callable[..., Any]
    add: Add
    """Makes it known by its name."""
    handed: bool = False
    """Whether it was handed over as it is, so that no name finds it in another process."""

    @property
    def title(self) -> str:
        """What a study calls it; a block has no colon in its name."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True)
class OwnCode(OwnBlocks):
    """What another process needs for the blocks and the functions of a user's own."""

    functions: tuple[OwnFunction, ...] = ()

    def load(self) -> None:
        """Adds those that are not there yet."""
        super().load()
        for one in self.functions:
            one.add(one.name, one.function)


_noted: dict[tuple[str, str], OwnFunction] = {}


def note(one: OwnFunction) -> None:
    """Remembers a function that was added; those of nas itself are none of a user's own."""
    if not _module(one.function).startswith("nas."):
        _noted[one.kind, one.name] = one


def noted(kind: str, names: Iterable[str]) -> list[OwnFunction]:
    """The user's own functions among those of these names."""
    return [_noted[kind, name] for name in names if (kind, name) in _noted]


def hand_over(kind: str, function: object, known: Mapping[str, object], add: Add) -> str:
    """Takes a function that stands in the place of a name, and returns the name under which it is then known.

    Raises SearchError for what has no name to be known by, and for a name that is taken.
    """
    by_itself = next((name for name, one in known.items() if one is function), None)
    if by_itself is not None:
        return by_itself
    if inspect.isfunction(function) and function.__name__.isidentifier():
        name = function.__name__
    elif _is_module(function):
        name = type(function).__name__
    else:
        raise SearchError(
            f"{kind}: must be a function made with def, or its name, not {type(function).__name__} "
            f"'{getattr(function, '__name__', function)}'"
        )
    add(name, function)  # type: ignore[arg-type]
    _noted[kind, name] = replace(_noted[kind, name], handed=True)
    return name


def with_functions(blocks: OwnBlocks, functions: Iterable[OwnFunction]) -> OwnCode:
    """What another process needs for these too; those of files that were loaded come with the files."""
    apart = tuple(one for one in functions if file_of_module(_module(one.function)) is None)
    return OwnCode(blocks.files, blocks.modules, blocks.typed, apart)


def origins_of(functions: Iterable[OwnFunction]) -> dict[str, Origin]:
    """Where functions come from, by their titles."""
    return {one.title: origin_of(one) for one in functions}


def origin_of(one: OwnFunction) -> Origin:
    """Where a function comes from, with a fingerprint of its source and of the values that it was made with.

    Raises BlockError when its source cannot be read.
    """
    function, module = one.function, _module(one.function)
    file = file_of_module(module)
    what = function if inspect.isfunction(function) else type(function)
    try:
        source = inspect.getsource(what) if module == "__main__" else module_source(module)
    except (OSError, TypeError):
        raise BlockError(
            f"{one.kind} '{one.name}': its source cannot be read, and a search has to tell whether it has changed; write it into "
            "a file, and import it from there"
        ) from None
    text = "\n".join([source, *map(_state, _made_with(function))])
    return Origin(module if file is None else file.path, hashlib.sha256(text.encode()).hexdigest())


def check_functions(study: str, begun: Mapping[str, Origin], now: Mapping[str, Origin]) -> None:
    """Raises BlockError when a function that a study was begun with is another version now."""
    for title, origin in now.items():
        theirs = begun.get(title)
        if theirs is None or theirs.digest != origin.digest:
            kind, _, name = title.partition(":")
            place = "which nobody has noted" if theirs is None else theirs.place
            raise BlockError(
                f"study '{study}' was begun with another version of the {kind} '{name}' ({place}, now {origin.place}): its "
                f"results do not hold for this one; give that version, or name another --study"
            )


def _module(function: object) -> str:
    return str(getattr(function, "__module__", None) or type(function).__module__)


def _is_module(function: object) -> bool:
    """Whether it is a module of PyTorch, such as a loss with weights."""
    return callable(getattr(function, "forward", None)) and callable(getattr(function, "state_dict", None))


def _made_with(function: Any) -> list[object]:
    """The values that a function was made with: those it closes over, or the state of a module."""
    if inspect.isfunction(function):
        return [cell.cell_contents for cell in function.__closure__ or ()]
    public = {name: value for name, value in vars(function).items() if not name.startswith("_")}
    return [public, dict(function.state_dict())]


def _state(value: object) -> str:
    """A value as text that is the same in another process: numbers, arrays and lists in full, of the rest what it is."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_state, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_state(name)}: {_state(item)}' for name, item in value.items())}}}"
    if callable(getattr(value, "tolist", None)):
        return repr(value.tolist())  # type: ignore[attr-defined]
    if inspect.isfunction(value):
        return "\n".join([value.__qualname__, *map(_state, _made_with(value))])
    return type(value).__qualname__
