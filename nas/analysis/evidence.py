"""Everything that a report reads from a study database, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from nas.architecture.architecture import Architecture
from nas.errors import StorageError
from nas.export.int8 import INT8_ACCURACY
from nas.objectives import Objective, metric_of
from nas.pareto import pareto
from nas.text.formatting import shorten
from nas.text.sanitize import read_json

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import Reading, Store, StudyRow

_DIGITS: Final = re.compile(r"\d[\d.,e+-]*\d|\d")


@dataclass(frozen=True)
class Evidence:
    """One study as it lies in the database."""

    study: StudyRow
    trials: pd.DataFrame
    """The trials, as `Store.trials` gives them."""
    epochs: pd.DataFrame
    """The learning curves, as `Store.epochs` gives them."""
    environments: tuple[Mapping[str, Any], ...]
    """The most used first."""
    driver: str | None
    """The living process that runs the study."""
    networks: Mapping[str, str]
    """JSON of each network by hash."""
    int8: Sequence[Reading] = ()
    """What networks, of other studies too, are worth in 8-bit integers, the latest first."""

    @classmethod
    def read(cls, store: Store, name: str) -> Evidence:
        """Reads the study of that name. Raises StorageError."""
        study = store.study(name)
        return cls(
            study,
            store.trials(name),
            store.epochs(name),
            tuple(store.environments(name).values()),
            store.driver(name),
            store.networks(name),
            store.every_reading(INT8_ACCURACY),
        )

    @cached_property
    def complete(self) -> pd.DataFrame:
        """Complete trials, each network once."""
        return self.trials[self.trials["state"] == "complete"].drop_duplicates("hash")

    @cached_property
    def front(self) -> pd.DataFrame:
        """The complete trials that no other beats in every objective, cheapest first."""
        return pareto(self.trials, self.study.objectives)

    @cached_property
    def judged(self) -> pd.DataFrame:
        """Trials that ended by themselves: complete, stopped early, or badly."""
        return self.trials[self.trials["state"] != "interrupted"]

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives beside the metric; parameters where there are none."""
        return tuple(name for name in self.study.objectives if name != self.metric.name) or ("parameters",)

    @property
    def metric(self) -> Objective:
        """What the study chooses by."""
        return metric_of(self.study.objectives)

    @property
    def input(self) -> tuple[int, ...]:
        """(C, H, W) of the images; raises KeyError for a study that does not say."""
        if self.study.task.input is None:
            raise KeyError("input")
        return self.study.task.input

    @property
    def classes(self) -> int:
        """How many the data have; raises KeyError for a study that does not say."""
        if self.study.task.classes is None:
            raise KeyError("classes")
        return self.study.task.classes

    def architecture(self, digest: str) -> Architecture:
        """The network with this hash."""
        return Architecture.from_json(self.networks[digest])

    @cached_property
    def parts(self) -> Mapping[str, Mapping[str, int]]:
        """How often each network, by its hash, has each block (``conv``) and each block with a value (``conv dilation 2``)."""
        return {digest: _parts(text) for digest, text in self.networks.items()}


def kind_of_reason(reason: str) -> str:
    """A reason without its numbers, so that equal ones count together."""
    return _DIGITS.sub("…", reason)


def _parts(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    try:
        nodes: Sequence[Mapping[str, Any]] = read_json(text)["nodes"]  # checking all of it takes three times as long
        for node in nodes:
            block = node["block"]
            counts[block] = counts.get(block, 0) + 1
            for name, value in node["params"].items():
                shown = str(value).lower() if isinstance(value, bool) else value
                key = f"{block} {name} {shown}"
                counts[key] = counts.get(key, 0) + 1
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StorageError(f"the database holds a network that is none: {shorten(text)}") from None
    return counts
