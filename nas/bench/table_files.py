"""A table of trained networks, which stands in for training.

One row an architecture: CSV, Parquet or JSON (a list of records, or an object whose keys are architectures). A row says
which architecture it is in one of two ways:

- one column a choice of the space, named as the choice (empty where the choice is not active);
- a key such as ``02012100`` or ``|nor_conv_3x3~0|+|none~0|skip_connect~1|``. `Mapping` says how a key is spelled. Without one, two
  spellings are understood when every choice is always active: one digit a choice, the index of its option, or the
  words of the options, both in the order of the space.

Rows of the same network (two assignments, one architecture) are averaged: it would be trained once. Where an accuracy stands in
several columns, one a seed, a search hears of one of them.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.config.yaml_document import Document
from nas.errors import AssignmentError, BenchError, nearest
from nas.objectives import OBJECTIVES
from nas.space.grammar import Options
from nas.space.space import Assignment, Space
from nas.system.files import check_parquet, read_bounded
from nas.text.sanitize import beginning, read_json


def aliases() -> dict[str, tuple[str, ...]]:
    """Columns that are looked for when `Mapping.metrics` names none, in this order."""
    return {
        **{name: objective.columns for name, objective in OBJECTIVES.items()},
        "error": ("error", "test_error", "val_error"),
        "seconds": ("seconds", "train_seconds", "train_time", "time"),
        SCORED: (),
    }


SCORED: Final = "test_accuracy"
"""The metric by which a front is scored, where it is another than searches hear of; only a mapping names its columns."""
SUFFIXES: Final = (".csv", ".csv.gz", ".parquet", ".json")
MOST_BYTES: Final = 256 << 20
"""Largest table as text, unpacked: 15,625 networks with three curves of 200 epochs have some 200 MiB."""
MOST_CELLS: Final = 32_000_000
_MOST_STARS: Final = 4
KEY_COLUMNS: Final = ("key", "arch", "architecture", "arch_str")


@dataclass(frozen=True)
class Mapping:
    """How a table names architectures and metrics; the YAML file of ``--mapping`` has these keys."""

    key: str | None = None
    """Template of a key with choices in braces, such as ``"|{cell.edge01}~0|+|{cell.edge02}~0|{cell.edge12}~1|"``."""
    key_column: str | None = None
    """The column that holds the key; in a JSON object the key is the key."""
    values: dict[str, str] = field(default_factory=dict)
    """How options are spelled in keys and columns, where that is not their name."""
    metrics: dict[str, str] = field(default_factory=dict)
    """The column of accuracy (or error), of any other objective, and of seconds. A ``*`` in it stands for anything: the columns
    of several seeds."""
    choices: dict[str, str] = field(default_factory=dict)
    """The columns of choices that are not called as these, such as ``body.*.kind: m*``: the ``*`` stands for the same number. How
    often a node is repeated is read off the columns of its copies that are filled, where it has none of its own."""
    units: dict[str, str] = field(default_factory=dict)
    """What a metric is multiplied by, such as ``parameters: 1.0e+6`` where a column counts millions."""
    curve: str | None = None
    """The columns of the accuracy after each epoch: ``epoch_{epoch}`` or, with several trainings, ``epoch_{epoch}_{seed}``."""
    epochs: str | None = None
    """Epochs of a whole training, where they are not one more than the curve has."""

    def __post_init__(self) -> None:
        """Raises BenchError for a pattern with so many stars that looking for it would take long."""
        for text in (*self.metrics.values(), *self.choices, *self.choices.values()):
            if text.count("*") > _MOST_STARS:
                raise BenchError(f"'{beginning(text)}': a column has at most {_MOST_STARS} *")

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Reads a mapping file. Raises BenchError."""
        data = Document.load(path, BenchError).data
        if not isinstance(data, dict):
            raise BenchError(f"{path}: a mapping has the keys {', '.join(cls.__dataclass_fields__)}")
        for name, value in data.items():
            if name not in cls.__dataclass_fields__:
                raise BenchError(f"{path}: unknown key '{name}'{nearest(name, cls.__dataclass_fields__)}")
            wants_table = name in _TABLES
            if wants_table != isinstance(value, dict):
                raise BenchError(f"{path}: {name} must be {'a table of words' if wants_table else 'a word'}")
        tables: dict[str, Any] = {
            name: {_text(key): _text(value) for key, value in data.pop(name, {}).items()} for name in _TABLES
        }
        for metric, unit in tables["units"].items():
            if metric not in aliases():
                raise BenchError(f"{path}: units: no metric '{metric}'{nearest(metric, aliases())}")
            if _unit(unit) is None:
                raise BenchError(f"{path}: units: {metric} must be a number above 0, not '{unit}'")
        words: dict[str, Any] = {str(name): str(value) for name, value in data.items()}
        return cls(**words, **tables)


_TABLES: Final = ("values", "metrics", "choices", "units")


def _unit(text: str) -> float | None:
    try:
        unit = float(text)
    except ValueError:
        return None
    return unit if 0 < unit < math.inf else None


def ending(path: Path) -> str:
    """Which of `SUFFIXES` a file has; empty for another."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def read_records(path: Path) -> list[dict[str, Any]]:
    """The rows of a file. The key of a JSON object becomes the column ``key``."""
    import pandas as pd

    kind = ending(path)
    try:
        if kind == ".json":
            data = read_json(read_bounded(path, MOST_BYTES))
            if isinstance(data, dict):
                data = [{"key": key, **row} for key, row in data.items() if isinstance(row, dict)]
            if not isinstance(data, list) or not data or not all(isinstance(row, dict) for row in data):
                raise BenchError(f"{path}: must hold a list of objects, or an object of objects, one an architecture")
            return data
        if not kind:
            raise BenchError(f"{path}: a table is {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
        if kind == ".parquet":
            check_parquet(path, MOST_CELLS)
            frame = pd.read_parquet(path)
        else:
            texts = dict.fromkeys(KEY_COLUMNS, str)
            frame = pd.read_csv(io.BytesIO(read_bounded(path, MOST_BYTES)), dtype=texts, low_memory=False)
        records: list[dict[str, Any]] = frame.to_dict("records")
        return records
    except (OSError, ValueError) as problem:
        raise BenchError(f"{path}: {str(problem).splitlines()[0]}") from None


def metric_columns(path: Path, records: list[dict[str, Any]], mapping: Mapping) -> dict[str, tuple[str, ...]]:
    """The column of each metric that the table has, or several, one a seed."""
    there = list(records[0]) if records else []
    found: dict[str, tuple[str, ...]] = {}
    for metric, column in mapping.metrics.items():
        if metric not in aliases():
            raise BenchError(f"no metric '{metric}'; known: {', '.join(aliases())}{nearest(metric, aliases())}")
        pattern = "*".join(map(escape, column.replace("{seed}", "*").split("*")))
        found[metric] = tuple(name for name in there if fnmatchcase(name, pattern))
        if not found[metric]:
            raise BenchError(f"{path}: no column '{column}'; columns: {', '.join(there)}{nearest(column, there)}")
    for metric, names in aliases().items():
        known = next((name for name in names if name in there), None)
        if metric not in found and known is not None:
            found[metric] = (known,)
    if "accuracy" in found and "error" in found:
        del found["accuracy" if "error" in mapping.metrics else "error"]
    if "accuracy" not in found and "error" not in found:
        raise BenchError(f"{path}: no column of accuracy; name one of {', '.join(there)} with --metric accuracy=COLUMN")
    return found


def read_assignments(path: Path, records: list[dict[str, Any]], space: Space, mapping: Mapping) -> Iterator[Assignment]:
    """What each row builds."""
    there = records[0] if records else {}
    key_column = mapping.key_column or next((name for name in KEY_COLUMNS if name in there), None)
    if key_column is not None and key_column not in there:
        raise BenchError(f"{path}: no column '{key_column}'{nearest(key_column, there)}")
    choices = _first_choices(space)
    read = _key_reader(space, choices, mapping)
    columns = {name: _column(name, mapping) for name in choices}
    by_choice = bool(set(columns.values()) & there.keys())
    if key_column is None and not by_choice:
        key_column = next((name for name, value in there.items() if isinstance(value, str) and read(value)), None)
    if key_column is not None and not by_choice:
        for place, record in enumerate(records):
            key = record.get(key_column)
            assignment = read(str(key))
            if assignment is None:
                raise BenchError(
                    f"{path}: row {place + 1}: the key '{key}' does not fit the space {space.name}; "
                    "a --mapping file says how keys are spelled"
                )
            yield assignment
        return
    for place, record in enumerate(records):
        yield _row_assignment(path, place, record, space, mapping)


def _row_assignment(path: Path, place: int, record: dict[str, Any], space: Space, mapping: Mapping) -> Assignment:
    def answer(name: str, options: Options) -> Any:
        column = _column(name, mapping)
        if column not in record and name.endswith(".repeat"):
            value: Any = _copies(name, record, mapping)
        elif column not in record:
            raise BenchError(f"{path}: no column for the choice '{name}'{nearest(name, record)}, and no column of keys")
        else:
            value = record.get(column)
        for option in options:
            spelled = mapping.values.get(_text(option), _text(option))
            if value is not None and (value == option or _text(value) == spelled):
                return option
        listed = ", ".join(map(_text, options))
        raise BenchError(f"{path}: row {place + 1}: '{column}' must be one of {listed}, not '{value}'")

    try:
        return space.walk(answer).assignment
    except AssignmentError as problem:
        raise BenchError(f"{path}: row {place + 1}: {problem}") from None


def _column(choice: str, mapping: Mapping) -> str:
    """The column of a choice: its name, or what the mapping calls it."""
    if choice in mapping.choices:
        return mapping.choices[choice]
    for pattern, column in mapping.choices.items():
        found = re.fullmatch(r"(\d+)".join(map(re.escape, pattern.split("*"))), choice)
        if found is not None and found.groups():
            numbers = iter(found.groups())
            return "".join(next(numbers, "*") if part == "*" else part for part in re.split(r"(\*)", column))
    return choice


def _copies(repeat: str, record: dict[str, Any], mapping: Mapping) -> int:
    """How many copies of a node a row has, by the columns of their choices: those of the last copy that is filled."""
    node = repeat.removesuffix(".repeat")
    number = 0
    for pattern, column in mapping.choices.items():
        if pattern.startswith(f"{node}.*"):
            while not _empty(record.get(column.replace("*", str(number), 1))):
                number += 1
    return number


def _empty(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _first_choices(space: Space) -> dict[str, Options]:
    """The choices that are met when every one takes its first option."""
    met: dict[str, Options] = {}

    def choose(name: str, options: Options) -> Any:
        met[name] = options
        return options.admissible[0]

    space.walk(choose)
    return met


def _key_reader(space: Space, choices: dict[str, Options], mapping: Mapping) -> Any:
    """A function from a key to its assignment, or None for a key that does not fit."""
    spelled = {
        name: {mapping.values.get(_text(option), _text(option)): option for option in options}
        for name, options in choices.items()
    }
    if mapping.key is not None:
        parts = re.split(r"\{([^{}]+)\}", mapping.key)
        for name in parts[1::2]:
            if name not in choices:
                raise BenchError(f"the template of the key: no choice '{name}'{nearest(name, choices)}")
        pattern = re.compile(
            "".join(
                "(" + "|".join(map(re.escape, sorted(spelled[part], key=len, reverse=True))) + ")"
                if place % 2
                else re.escape(part)
                for place, part in enumerate(parts)
            )
        )

        def by_template(key: str) -> Assignment | None:
            match = pattern.fullmatch(key)
            if match is None:
                return None
            return {name: spelled[name][text] for name, text in zip(parts[1::2], match.groups(), strict=True)}

        return by_template

    words = {word for options in spelled.values() for word in options}

    def by_order(key: str) -> Assignment | None:
        if key.isdecimal() and len(key) == len(choices):
            digits = [int(digit) for digit in key]
            if any(digit >= len(options) for digit, options in zip(digits, choices.values(), strict=True)):
                return None
            return {name: options[digit] for (name, options), digit in zip(choices.items(), digits, strict=True)}
        found = [word for word in re.split(r"[^\w.]+", key) if word in words]
        if len(found) != len(choices) or any(
            word not in spelled[name] for name, word in zip(choices, found, strict=True)
        ):
            return None
        return {name: spelled[name][word] for name, word in zip(choices, found, strict=True)}

    return by_order


def read_number(path: Path, place: int, column: str, value: Any) -> float:
    """A metric of the row at `place`. Raises BenchError for what is no number."""
    try:
        values = np.asarray(value, dtype=np.float64)
        number = float(values.mean()) if values.size else math.nan  # several seeds in one field: their mean
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BenchError(f"{path}: row {place + 1}: '{column}' must be a number, not {beginning(repr(value))}")
    return number


def read_seeds(
    path: Path, place: int, columns: Sequence[str], record: dict[str, Any], unit: float
) -> list[float] | None:
    """A metric by the columns of its seeds, NaN where there was no training; None where all are empty. Raises as `read_number`."""
    values = [
        math.nan if _empty(record.get(column)) else read_number(path, place, column, record[column]) * unit
        for column in columns
    ]
    return None if all(map(math.isnan, values)) else values


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():  # a column with empty cells makes floats of whole numbers
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
