"""Values out of rows, looked at: a bit flips, somebody edits a row by hand, and what was JSON or a number is none.

`nas.store.connection` makes one line of what is raised here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from blocks.base import Scalar
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.errors import DataError, RecipeError
from nas.space.grammar import Bounds
from nas.store.deviations import Deviation
from nas.text.sanitize import read_json

if TYPE_CHECKING:
    import pandas as pd


class Damaged(ValueError):
    """A column holds what no nas has written."""


def mapping(text: Any, what: str) -> dict[str, Any]:
    """The JSON object that a column holds. Raises Damaged that names the column when it is anything else."""
    value = _json(text, what)
    if not isinstance(value, dict):
        raise Damaged(f"{what} is no mapping: {text!r}")
    return value


def sequence(text: Any, what: str) -> list[Any]:
    """The JSON list that a column holds. Raises Damaged that names the column when it is anything else."""
    value = _json(text, what)
    if not isinstance(value, list):
        raise Damaged(f"{what} is no list: {text!r}")
    return value


def counts(text: Any, what: str) -> tuple[int, ...]:
    """The whole numbers that a column holds. Raises Damaged that names the column when it is anything else."""
    value = sequence(text, what)
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value):
        raise Damaged(f"{what} are no counts: {text!r}")
    return tuple(value)


def assignment(text: Any) -> dict[str, Scalar]:
    """The assignment that a column holds: words and numbers by name. Raises Damaged when it is anything else."""
    value = mapping(text, "assignment")
    # Nine million values are read of a large study; where no bracket stands inside, none of them is a list.
    if ("[" in text or text.count("{") > 1 or "null" in text) and not all(
        isinstance(one, str | int | float) for one in value.values()
    ):
        raise Damaged(f"assignment has a value that is no word or number: {text!r}")
    return value


def task(text: Any) -> LoadedTask:
    """The task that a column holds. Raises Damaged when it is none."""
    try:
        return LoadedTask.from_dict(mapping(text, "task"))
    except DataError as problem:
        raise Damaged(str(problem)) from None


def recipe(text: Any) -> Recipe:
    """The recipe that a column holds. Raises Damaged when it is none."""
    # Before it was written, no network's batch norm was measured anew; what else was added later is off where it is missing.
    value = {"norm_images": 0, **mapping(text, "recipe")}
    try:
        return Recipe.stored(value)
    except RecipeError as problem:
        raise Damaged(str(problem)) from None


def constraints(text: Any) -> dict[str, Bounds]:
    """The bounds of costs that a column holds, by name. Raises Damaged when it is anything else."""
    found = {}
    for name, value in mapping(text, "constraints").items():
        if not isinstance(value, dict) or not value.keys() <= {"max", "min"} or not all(map(_is_bound, value.values())):
            raise Damaged(f"constraints: {name} is {value!r}")
        found[name] = Bounds(**value)
    return found


def deviations(text: Any) -> list[Deviation | str]:
    """The deviations that a column holds; older versions wrote a sentence each. Raises Damaged when it is anything else."""
    found: list[Deviation | str] = []
    for one in sequence(text, "deviations"):
        if not isinstance(one, dict | str):
            raise Damaged(f"deviations: {one!r}")
        found.append(one if isinstance(one, str) else Deviation.from_dict(one))
    return found


def objectives(text: Any, known: Iterable[str]) -> list[str]:
    """What a study optimizes. Raises Damaged when it is none of the `known`."""
    names = sequence(text, "objectives")
    if not names or not all(name in list(known) for name in names):
        raise Damaged(f"objectives: {text!r}")
    return names


def real(value: Any, what: str) -> float | None:
    """A value that may be missing. Raises Damaged where it is no number."""
    if value is None or value != value:
        return None
    if type(value) not in (int, float):
        raise Damaged(f"{what} holds something that is no number: {value!r}")
    return float(value)


def make_numbers(frame: pd.DataFrame, *, whole: Iterable[str] = (), real: Iterable[str] = ()) -> None:
    """Gives columns their type. Raises Damaged that names the column in which something else stands."""
    for names, kind in ((whole, "int64"), (real, "float64")):
        for name in names:
            try:
                frame[name] = frame[name].astype(kind)  # of a column of nothing but NULL objects were made
            except (ValueError, TypeError) as problem:
                raise Damaged(f"{name} holds something that is no number: {problem}") from None


def _json(text: Any, what: str) -> Any:
    try:
        return read_json(text)
    except (ValueError, TypeError) as problem:
        raise Damaged(f"{what} is no JSON: {problem}") from None


def _is_bound(value: object) -> bool:
    return value is None or type(value) in (int, float)
