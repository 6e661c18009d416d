"""Trials with one column a choice, for CSV and Parquet.

pandas takes 15 s to widen and write 100,000 dicts. Here each choice is a column of places in the list of its options, which
Arrow writes as it is.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from blocks.base import Scalar
from nas.store.frames import uncollected
from nas.text.sanitize import in_cell

if TYPE_CHECKING:
    import pandas as pd

PREFIX = "choice."
"""What stands before the name of a choice in the name of its column."""
FOREIGN: Final = ("reason", "device", "published")
"""Columns of text that is not ours: a reason may be the message of any exception."""


def write(trials: pd.DataFrame, path: Path) -> None:
    """Writes a frame of trials with their assignments to a .csv or .parquet file, one column a choice.

    In CSV a choice is written as in a space file, and text that a spreadsheet would take for a formula has an apostrophe
    before it. In Parquet a column has one type, and a choice may mix words and
    numbers, so there each is JSON.
    """
    import pyarrow as pa
    from pyarrow.csv import write_csv
    from pyarrow.parquet import write_table

    text = path.suffix.lower() == ".csv"
    plain = trials.drop(columns="assignment")
    if text:
        plain = plain.assign(
            **{name: plain[name].map(in_cell, na_action="ignore") for name in FOREIGN if name in plain}
        )
    table = pa.Table.from_pandas(plain, preserve_index=False)
    with uncollected():
        places = _places(trials["assignment"].tolist())
    for name, (options, column) in places.items():
        words = [in_csv(option) if text else json.dumps(option) for option in options]
        chosen = pa.DictionaryArray.from_arrays(pa.array(column, mask=column < 0), pa.array(words, pa.string()))
        table = table.append_column(PREFIX + name, chosen.cast(pa.string()))
    if text:
        write_csv(table, path)
    else:
        write_table(table, path)


def in_csv(option: Scalar) -> str:
    """An option of a choice as a CSV file has it."""
    return in_cell(option) if isinstance(option, str) else json.dumps(option)


def _places(assignments: Sequence[Mapping[str, Scalar]]) -> dict[str, tuple[list[Scalar], npt.NDArray[np.int16]]]:
    """Each choice, in the order of meeting them: its values, and for each assignment the place of its value among them.

    The place is -1 for an assignment that has no such choice.
    """
    columns: dict[str, array[int]] = {}
    options: dict[str, dict[tuple[type, Scalar], int]] = {}
    for row, assignment in enumerate(assignments):
        for name, value in assignment.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = array("h", [-1]) * len(assignments)
                options[name] = {}
            known = options[name]
            # 1, 1.0 and True are equal, and not the same
            column[row] = known.setdefault((value.__class__, value), len(known))
    return {
        name: ([value for _, value in options[name]], np.frombuffer(column, dtype=np.int16))
        for name, column in columns.items()
    }
