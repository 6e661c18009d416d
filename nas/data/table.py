"""Tables of photos: a CSV or Parquet file with a row for each image, which says where it lies and what it shows.

``table:photos.csv`` has the columns `path` and `label`, and if you like `split` with train, val and test. Where they have other
names, options say so behind a question mark: ``table:photos.csv?path=file&label=species&split=part``. Several labels an image
stand in one cell (``?separator=|``), or in a column each with 0 and 1 (``?label=cat,dog``, or ``?label=*`` for all columns
that are left). A table without a column `label` says by itself which it is: a column `labels` or `tags` holds several in one
cell, and other columns that all hold 0 and 1 are a label each. Relative paths begin at the folder of the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import numpy as np

from nas.data.listing import Labelled, Listing, set_aside
from nas.data.task import one_line
from nas.errors import DataError, nearest
from nas.limits import MAX_CLASSES
from nas.system.files import check_parquet
from nas.text.sanitize import expanded

if TYPE_CHECKING:
    import pandas as pd

PARQUET = (".parquet", ".pq")
ENDINGS = (".csv", ".tsv", ".txt", *PARQUET)
MOST_COLUMNS: Final = 10_000
MOST_CELLS: Final = 32_000_000
"""Most cells of a Parquet file, in which a few bytes can stand for many."""
_LONGEST_HEADER: Final = 1 << 20
NAMED = 8  # faults that an error names; the others it counts
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What a column of parts may say, and what it means."""
PLURALS = ("labels", "tags")
"""Columns that hold several labels of an image."""
SEPARATORS = ("|", ";", ",")
"""What may stand between them, the first that there is."""
YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", "")


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what."""

    path: str = "path"
    label: tuple[str, ...] = ("label",)
    """Several: one for each label, with 0 and 1."""
    split: str | None = None
    """None: `split`, where there is such a column."""
    separator: str | None = None
    """What stands between several labels of an image; None: each image has one."""

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.separator is not None or len(self.label) > 1 or self.label == ("*",)


@dataclass
class _Faults:
    """What is wrong with the rows of a table, by their number."""

    what: str
    rows: int
    found: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, problem: str) -> None:
        self.found.setdefault(row, problem)

    def check(self, word: str) -> None:
        """Raises DataError that counts all of them and names some; `word` is what a row is called."""
        if not self.found:
            return
        named = [f"{word} {row}: {self.found[row]}" for row in sorted(self.found)[:NAMED]]
        count = f"{len(self.found):,} of {self.rows:,} rows cannot be used: " if len(self.found) > 1 else ""
        more = [f"and {len(self.found) - NAMED:,} more"] if len(self.found) > NAMED else []
        raise DataError(f"{self.what}: {count}{'; '.join([*named, *more])}")


def parse(place: str) -> tuple[Path, Columns]:
    """The file and the columns of what stands behind ``table:``. Raises DataError."""
    name, _, text = place.rpartition("?")
    if not name or expanded(place).is_file():
        return expanded(place), Columns()
    known = [item.name for item in fields(Columns)]
    found: dict[str, str] = {}
    for option in text.split("&"):
        key, equals, value = option.partition("=")
        if key not in known:
            raise DataError(f"table:{place}: no option '{key}'; known: {', '.join(known)}{nearest(key, known)}")
        if not equals or not value or key in found:
            raise DataError(f"table:{place}: write {key}=… once, such as {key}={_example(key)}")
        found[key] = unquote(value)
    labels = tuple(name.strip() for name in found.get("label", "label").split(","))
    columns = Columns(found.get("path", "path"), labels, found.get("split"), found.get("separator"))
    if columns.separator is not None and len(labels) > 1:
        raise DataError(f"table:{place}: separator or several columns of labels, not both")
    return expanded(name), columns


def columns_of(place: str) -> tuple[Path, Columns]:
    """The file and the columns of what stands behind ``table:``, as far as the table says them itself. Raises DataError."""
    file, columns = parse(place)
    if columns.label != ("label",) or columns.separator is not None or not file.is_file():
        return file, columns
    if file.suffix.lower() not in ENDINGS:
        return file, columns  # which is an error that others tell
    status = file.stat()
    frame = _frame(file, status.st_mtime_ns, status.st_size)
    return file, _seen(frame, columns)


def _seen(frame: pd.DataFrame, columns: Columns) -> Columns:
    """Where there is no column `label`: which column, or columns, hold several labels of an image."""
    names = [str(name) for name in frame.columns]
    if "label" in names:
        return columns
    for name in PLURALS:
        if name in names:
            cells = _texts(frame.iloc[:, names.index(name)])
            between = next((one for one in SEPARATORS if any(one in cell for cell in cells)), SEPARATORS[0])
            return replace(columns, label=(name,), separator=between)
    others = [place for place, name in enumerate(names) if name not in (columns.path, columns.split or "split")]
    marks = {cell.lower() for place in others for cell in _texts(frame.iloc[:, place])}
    return replace(columns, label=("*",)) if len(others) > 1 and marks <= {*YES, *NO} else columns


def _example(key: str) -> str:
    return {"path": "file", "label": "species", "split": "part", "separator": "|"}[key]


def list_table(place: str, *, skip_bad: bool = False) -> Listing:
    """The images of a table; `place` is what stands behind ``table:``. With `skip_bad` files that are not there are listed too.

    Raises DataError that names all faults at once, with the numbers of their rows.
    """
    file, columns = columns_of(place)
    if not file.is_file():
        what = "is a folder; for its images write imagefolder:PATH" if file.is_dir() else "no such file"
        raise DataError(f"table:{file}: {what}")
    if file.suffix.lower() not in ENDINGS:
        raise DataError(f"table:{file}: must end with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    status = file.stat()
    return _listed(file, columns, skip_bad, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)  # a search asks four times: for the images of each part, and for how many there are
def _listed(file: Path, columns: Columns, skip_bad: bool, *_: int) -> Listing:
    frame = _frame(file, *_).copy()
    first, word = (1, "row") if file.suffix.lower() in PARQUET else (2, "line")
    return list_frame(frame, columns, file.parent, f"table:{file}", first, word, skip_bad=skip_bad)


@lru_cache(maxsize=1)
def _frame(file: Path, *_: int) -> pd.DataFrame:
    return _read_parquet(file) if file.suffix.lower() in PARQUET else _read_csv(file)


def _read_csv(file: Path) -> pd.DataFrame:
    """All cells as texts; rows that are blank are left out, the others keep their numbers."""
    import pandas as pd

    try:
        with file.open(encoding="utf-8-sig") as lines:
            header = lines.readline(_LONGEST_HEADER)
        separator = "\t" if file.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
        if header.count(separator) >= MOST_COLUMNS:
            raise DataError(f"table:{file}: has more than {MOST_COLUMNS:,} columns")
        frame = pd.read_csv(
            file,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except UnicodeDecodeError:
        raise DataError(f"table:{file}: no text in UTF-8; save it as 'CSV UTF-8'") from None
    except (OSError, ValueError) as problem:  # pandas' errors of a parser are ValueErrors
        raise DataError(f"table:{file}: cannot be read as a table ({one_line(problem)})") from None
    frame = frame.fillna("")
    return frame[(frame != "").any(axis=1)]


def _read_parquet(file: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        check_parquet(file, MOST_CELLS)
        return pd.read_parquet(file)
    except ValueError as problem:
        raise DataError(f"table:{file}: {one_line(problem)}") from None
    except Exception as problem:  # whatever a damaged file makes of Arrow's reader
        raise DataError(f"table:{file}: cannot be read as Parquet ({one_line(problem)})") from None


def list_frame(
    frame: pd.DataFrame, columns: Columns, folder: Path, what: str, first: int, word: str, *, skip_bad: bool = False
) -> Listing:
    """The images of a frame, whose relative paths begin at `folder`; its first row is number `first` of its `word`.

    Raises DataError naming `what`.
    """
    columns = _completed(frame, columns, what)
    frame = frame.set_axis(range(len(frame)), axis=0) if word == "row" else frame
    numbers = [int(place) + first for place in frame.index]
    faults = _Faults(what, len(frame))
    paths = [folder / path if path else None for path in _texts(frame[columns.path])]
    cells = [_texts(frame[name]) for name in columns.label]
    parts = _parts(frame, columns, numbers, faults)
    places: dict[Path, int] = {}
    for number, path in zip(numbers, paths, strict=True):
        if path is None:
            faults.add(number, f"no {columns.path}")
        elif path in places:
            faults.add(number, f"{path.name} stands in {word} {places[path]} too; each image has one row")
        elif not skip_bad and not path.is_file():
            faults.add(number, f"{path}: no such file")
        else:
            places[path] = number
    if not columns.is_multi_label:
        for number, text in zip(numbers, cells[0], strict=True):
            if not text:
                faults.add(number, f"no {columns.label[0]}")
    names, y = _labels(columns, cells, parts, numbers, faults)
    faults.check(word)
    if len(names) > MAX_CLASSES:
        raise DataError(f"{what}: {len(names):,} different labels; at most {MAX_CLASSES:,}")
    every = Labelled(tuple(path for path in paths if path is not None), y)
    return _parted(every, np.array(parts), names, what)


def _completed(frame: pd.DataFrame, columns: Columns, what: str) -> Columns:
    """The columns that there are."""
    there = [str(name) for name in frame.columns]
    frame.columns = there
    split = columns.split or ("split" if "split" in there else None)
    labels = columns.label
    if labels == ("*",):
        labels = tuple(name for name in there if name not in (columns.path, split))
        if len(labels) < 2:
            raise DataError(f"{what}: label=* wants a column for each label beside {columns.path}")
    if not len(frame):
        raise DataError(f"{what}: no rows")
    for option, name in (("path", columns.path), *(("label", one) for one in labels), ("split", split)):
        if name is not None and there.count(name) != 1:
            raise DataError(
                f"{what}: {'no' if name not in there else 'more than one'} column '{name}'; there are {', '.join(there)}; "
                f"write ?{option}=COLUMN behind the file{nearest(name, there)}"
            )
    return Columns(columns.path, labels, split, columns.separator)


def _texts(cells: Iterable[object]) -> list[str]:
    """Cells as texts without blanks at their ends; what is missing is empty."""
    return ["" if cell is None or cell != cell else str(cell).strip() for cell in cells]


def _parts(frame: pd.DataFrame, columns: Columns, numbers: Sequence[int], faults: _Faults) -> list[str]:
    """The part of each row, by its name in `PARTS`; all are for training where no column says otherwise."""
    if columns.split is None:
        return ["train"] * len(frame)
    words = _texts(frame[columns.split])
    for number, text in zip(numbers, words, strict=True):
        if text.lower() not in PARTS:
            faults.add(number, f"{columns.split} must be train, val or test, not '{text}'{nearest(text, PARTS)}")
    return [PARTS.get(text.lower(), "train") for text in words]


def _labels(
    columns: Columns, cells: list[list[str]], parts: Sequence[str], numbers: Sequence[int], faults: _Faults
) -> tuple[tuple[str, ...], np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """Names of the classes, and labels (N,), or (N, classes) with 0 and 1 where an image may have several."""
    if len(columns.label) > 1:
        y = np.zeros((len(numbers), len(columns.label)), dtype=np.int64)
        for place, (name, texts) in enumerate(zip(columns.label, cells, strict=True)):
            for row, text in enumerate(texts):
                if text.lower() in YES:
                    y[row, place] = 1
                elif text.lower() not in NO:
                    faults.add(numbers[row], f"{name} must be 0 or 1, not '{text}'")
        return columns.label, y
    said = [_apart(text, columns.separator) for text in cells[0]]
    learned = {name for some, part in zip(said, parts, strict=True) if part == "train" for name in some}
    names = tuple(sorted(learned, key=natural))
    number_of = {name: number for number, name in enumerate(names)}
    for row, some in enumerate(said):
        for name in some:
            if name not in number_of:
                faults.add(numbers[row], f"no training image has the label '{name}'{nearest(name, names)}")
    if columns.separator is None:
        return names, np.array([number_of.get(some[0], 0) if some else 0 for some in said], dtype=np.int64)
    y = np.zeros((len(numbers), len(names)), dtype=np.int64)
    for row, some in enumerate(said):
        for name in some:
            if name in number_of:
                y[row, number_of[name]] = 1
    return names, y


def _apart(text: str, separator: str | None) -> list[str]:
    if separator is None:
        return [text] if text else []
    return [name for part in text.split(separator) if (name := part.strip())]


def natural(name: str) -> tuple[int, int, str]:
    """The order of labels: whole numbers first, in their order; then words."""
    return (0, int(name), name) if re.fullmatch(r"[0-9]{1,18}", name) else (1, 0, name)


def _parted(
    every: Labelled, parts: np.ndarray[tuple[int, ...], np.dtype[np.str_]], names: tuple[str, ...], what: str
) -> Listing:
    """The parts of a table. Where one of validation and test is there alone, it is the test set, as in a folder."""
    found = {part: every.some(np.flatnonzero(parts == part)) for part in ("train", "validation", "test")}
    if not len(found["train"]):
        raise DataError(f"{what}: no row is for training; a column split says train, val or test")
    chosen = [found[part] for part in ("test", "validation") if len(found[part])]
    if chosen:
        return Listing(names, found["train"], chosen[0], False, chosen[1] if len(chosen) > 1 else None, kind="table")
    train = found["train"]
    groups, groups_names = (
        (train.y, names) if train.y.ndim == 1 else (np.zeros(len(train), dtype=np.int64), ("images",))
    )
    rest, tested = set_aside(train, groups, groups_names, f"{what} (no test images)")
    return Listing(names, rest, tested, True, kind="table")
