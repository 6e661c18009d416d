"""What a fit is told: the options of its search, and what is done with what the search finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nas.config.block_files import load_blocks
from nas.data import Task, source
from nas.data.table import ENDINGS as TABLES
from nas.data.table import parse
from nas.errors import ExportError, SearchError
from nas.export import EXPORTERS
from nas.fits import REFERENCES
from nas.fits.choice import parse_milliseconds
from nas.fits.references import check_references, default_references
from nas.objectives import ACCURACY, LATENCY
from nas.plugins.packages import ONNX, require
from nas.searches.options import DEFAULT_TRIALS, RANDOM, UNTIL_TIME, SearchOptions
from nas.space.space import Space
from nas.text.formatting import shorten

FITTED_FORMATS: Final = ("python", "onnx")
"""What is written where nobody says otherwise; ONNX where its packages are installed."""
MOST_PARAMETERS: Final = 500_000.0
"""Limit of networks that are trained from random weights, unless a user says otherwise."""
NO_REFERENCES: Final = "none"


@dataclass(frozen=True)
class FitOptions:
    """What a fit is told beside the options of its search."""

    photos: Path
    """Folder or table."""
    search: SearchOptions
    output: Path
    """Folder of what is written."""
    references: tuple[str, ...] = tuple(REFERENCES)
    named: bool = False
    """Whether the user has named them."""
    starts_trained: bool = False
    """Whether networks start from trained weights."""
    max_milliseconds: float | None = None
    formats: tuple[str, ...] = field(default=FITTED_FORMATS)
    int8: bool = False
    """Whether the chosen network is written in 8-bit integers too, and measured so."""

    def __post_init__(self) -> None:
        """Raises SearchError for what cannot be."""
        check_references(self.references)
        for name in self.formats:
            EXPORTERS.find(name)
        if self.int8:
            require("--int8", ONNX, "onnx", ExportError)


def fit_options(
    photos: str | Path,
    *,
    max_latency: str | float | None = None,
    references: Sequence[str] | None = None,
    int8: bool = False,
    output: str | Path | None = None,
    **values: Any,
) -> FitOptions:
    """The options of a fit with what it takes where a user says nothing; `values` are those of its search that it has.

    Raises a NasError for what cannot be.
    """
    if isinstance(references, str) or not isinstance(references, list | tuple | None):
        raise SearchError(f"references: must be a list of texts, not {shorten(references)}")
    if isinstance(values["blocks"], list | tuple):  # of another type it is refused below
        load_blocks(*values["blocks"])
    photos = Path(photos)
    start = values["pretrained"]
    starts_trained = start != RANDOM and Space.load(values["space"], shapes=False).pretrained is not None
    names = default_references(values["space"], start) if references is None else tuple(references)
    if values["max_parameters"] is None and not starts_trained:
        values |= {"max_parameters": MOST_PARAMETERS, "budget_scale": "mixed"}  # nobody has asked for as many
    if values["trials"] is None:
        values["trials"] = DEFAULT_TRIALS if values["time"] is None else UNTIL_TIME
    study = values.pop("study") or study_name_of(photos)
    if values["metric"] is None:
        values["metric"] = metric_for(photos)
    most = parse_milliseconds(None if max_latency is None else str(max_latency))
    search = SearchOptions(
        data=data_of(photos),
        study=study,
        scheduler="pareto_asha",
        retrain=2,
        limits={} if most is None else {LATENCY.name: most},
        **values,
    )
    return FitOptions(
        photos,
        search,
        Path(f"{study}-fit" if output is None else output),
        () if names == (NO_REFERENCES,) else names,
        references is not None,
        starts_trained,
        most,
        int8=int8,
    )


def metric_for(photos: Path) -> str | None:
    """What networks for a folder or table are chosen by where a user names nothing; None: by accuracy."""
    metrics = source(Task(data_of(photos))).type.metrics
    return None if ACCURACY in metrics else metrics[0].name


def data_of(photos: Path) -> str:
    """The data set that a folder or a table of photos is."""
    return f"{'table' if parse(str(photos))[0].suffix.lower() in TABLES else 'imagefolder'}:{photos}"


def study_name_of(photos: Path) -> str:
    """The name of a study on this folder or table, where the user gives none."""
    task = Task(data_of(photos))
    return source(task).short_name(task)
