"""What earlier studies over the same space tell a new one: of the same database, of a file, or shipped with the space."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from blocks.base import Scalar
from nas.config.shipped_files import folder
from nas.data.task import Tell, silent
from nas.errors import AssignmentError, SearchError
from nas.objectives import ACCURACY, learned
from nas.sampler.history import Earlier
from nas.space.grammar import Options
from nas.space.space import Space
from nas.states import State
from nas.store import Store, StudyRow
from nas.store.export import PREFIX, in_csv
from nas.system.files import read_bounded
from nas.text.sanitize import beginning, expanded

NONE: Final = "none"
"""What a user says who wants nothing of earlier studies."""
ENDINGS: Final = (".csv", ".csv.gz")
IMAGES: Final = "validation_images"
"""Column of how many images an accuracy was measured on; without it accuracies are taken as exact."""
MOST_BYTES: Final = 128 << 20
"""Longest file, unpacked: a row of attn_cnn has some 600 bytes, and the sampler learns of a hundred."""
MOST_ROWS: Final = 100_000
_DIGITS: Final = 12
_LARGEST: Final = 1e100
"""Squares of values have to be numbers."""

SIDE: Final = 64
"""Pixels of the largest images for which what is shipped is of use: it was learned at 16, and other stems serve large ones."""


def earlier_studies(
    named: Sequence[str], store: Store, study: StudyRow, space: Space, tell: Tell = silent
) -> list[list[Earlier]]:
    """Those that a user has `named`; where nothing is, what is shipped with the space and of use here.

    `tell` hears of files of which rows do not fit.

    Raises SearchError for what tells nothing of this space.
    """
    if NONE in named:
        if len(named) > 1:
            raise SearchError(
                f"prior: {NONE} stands alone, not beside {', '.join(name for name in named if name != NONE)}"
            )
        return []
    if named:
        return [
            file_trials(expanded(name), space, learned(study.objectives)[0], tell)
            if name.lower().endswith(ENDINGS)
            else earlier_trials(store, name, study)
            for name in named
        ]
    shipped, shape = shipped_trials(space), study.task.input
    alike = shape is not None and shape[0] == 3 and max(shape[1:]) <= SIDE
    fits = alike and learned(study.objectives) == (ACCURACY.name,) and not study.recipe.pretrained
    found = _read(shipped, space, ACCURACY.name)[0] if fits and shipped.is_file() else []
    return [found] if found else []  # a user's space of the same name may have none of them


def shipped_line(studies: Sequence[Sequence[Earlier]], space: Space) -> str:
    """What a user is told who has named no study, and whose search learns of these."""
    networks = sum(map(len, studies))
    return f"learns of {networks} networks trained on other photos, shipped with {space.name} (--prior {NONE}: of none)"


def shipped_trials(space: Space) -> Path:
    """The file of trained networks that travels with a space of this name, where there is one."""
    return folder("search_spaces") / "priors" / f"{space.name}.csv.gz"


def earlier_trials(store: Store, name: str, study: StudyRow) -> list[Earlier]:
    """The complete trials of the study `name`, for a search of `study`.

    Raises StorageError where there is none, SearchError for one of another space or objective, or without complete trials.
    """
    earlier = store.study(name)
    if name == study.name:
        raise SearchError(f"prior: study '{name}' is the one that is searched; it knows its own trials")
    if earlier.space_fingerprint != study.space_fingerprint:
        raise SearchError(f"prior: study '{name}' searched the space {earlier.space_name}, not this {study.space_name}")
    wanted, there = learned(study.objectives)[0], learned(earlier.objectives)
    if there != (wanted,):
        raise SearchError(f"prior: study '{name}' learned {' and '.join(there)}, not {wanted}")
    trials = store.trials(name)
    trials = trials[trials["state"] == State.COMPLETE]
    if trials.empty:
        raise SearchError(f"prior: study '{name}' has no complete trial")
    return [
        Earlier(assignment, float(value), earlier.validation_images)
        for assignment, value in zip(trials["assignment"], trials[wanted], strict=True)
    ]


def file_trials(path: Path, space: Space, wanted: str, tell: Tell = silent) -> list[Earlier]:
    """The complete trials of a CSV file that `nas study export` has written, as far as they are networks of this space.

    `tell` hears how many are not. Raises SearchError for a file that is none, that lacks the metric `wanted`, or of which no row
    fits.
    """
    found, unfit, problem = _read(path, space, wanted)
    if not found:
        raise SearchError(f"prior: {path}: no network of the space {space.name}; {problem}")
    if unfit:
        tell(
            f"prior: {path}: {unfit:,} of {unfit + len(found):,} rows are left out, the last because of this: {problem}"
        )
    return found


def _read(path: Path, space: Space, wanted: str) -> tuple[list[Earlier], int, str]:
    """The same, how many rows do not fit, and what is wrong with the last of them."""
    found: list[Earlier] = []
    unfit, problem = 0, "it has no row of a complete trial"
    try:
        for line, row in _rows(path, wanted):
            if row.get("state", State.COMPLETE) != State.COMPLETE:
                continue
            try:
                found.append(_earlier(row, space, wanted))
            except (AssignmentError, ValueError) as wrong:
                unfit, problem = unfit + 1, f"line {line}: {wrong}"
    except csv.Error as wrong:
        raise SearchError(f"prior: {path}: cannot be read: {wrong}") from None
    return found, unfit, problem


def _rows(path: Path, wanted: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """The rows of a file with the numbers of their lines."""
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SearchError(f"prior: {path}: no text in UTF-8") from None
    except ValueError as problem:
        raise SearchError(f"prior: {path}: {problem}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    names = reader.fieldnames or []
    if wanted not in names or not any(name.startswith(PREFIX) for name in names):
        raise SearchError(
            f"prior: {path}: must have a column {wanted} and one for each choice, {PREFIX}…, as `nas study export` writes them"
        )
    for number, row in enumerate(reader):
        if number == MOST_ROWS:
            raise SearchError(f"prior: {path}: has more than {MOST_ROWS:,} rows")
        yield reader.line_num, row


def _earlier(row: Mapping[str, str | None], space: Space, wanted: str) -> Earlier:
    """Raises AssignmentError for a row that is no network of the space, ValueError for one without a value."""

    def answer(name: str, options: Options) -> Scalar:
        cell = row.get(PREFIX + name) or ""
        for option in options:
            if in_csv(option) == cell:
                return option
        raise AssignmentError(f"the choice '{name}' has no option {json.dumps(beginning(cell))}")

    value, images = _number(wanted, row[wanted]), row.get(IMAGES)
    if wanted == ACCURACY.name and not 0 <= value <= 1:
        raise ValueError(f"{wanted} must be from 0 to 1, not {row[wanted]}")
    if images and not (images.isdecimal() and len(images) <= _DIGITS and int(images)):
        raise ValueError(f"{IMAGES} must be a whole number from 1 on, not {beginning(images)}")
    return Earlier(space.walk(answer).assignment, value, int(images) if images else None)


def _number(name: str, cell: str | None) -> float:
    try:
        value = float(cell or "")
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:  # NaN is not
        raise ValueError(f"{name} must be a number, not {json.dumps(beginning(cell or ''))}")
    return value
