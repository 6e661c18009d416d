"""Plain records that the store gives out."""

from __future__ import annotations

import datetime
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from sqlalchemy.engine import RowMapping

from blocks.base import Scalar
from blocks.counting import COUNTING_RULES
from nas.config.block_files import Origin
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.objectives import OBJECTIVES
from nas.space.grammar import Bounds
from nas.store import damaged
from nas.store.schema import Study, Trial, dump
from nas.store.values import EPOCH_COLUMNS


@dataclass(frozen=True)
class StudyRow:
    """What a study searches."""

    id: int
    name: str
    space_name: str
    space_text: str
    """The space file as it was read."""
    space_fingerprint: str
    task: LoadedTask
    recipe: Recipe
    objectives: tuple[str, ...]
    constraints: Mapping[str, Bounds]
    seed: int
    created_at: datetime.datetime
    """Naive UTC."""
    counting_rules: int | None
    """Version of the rules that its costs came from; None where that was not recorded."""
    blocks: Mapping[str, Origin] = field(default_factory=dict)
    """Blocks of a user's own in its space, by name."""
    metrics: tuple[str, ...] = ()
    """What was measured after its trainings beside accuracy, top5 and loss, by the names of objectives; nothing before one is
    complete."""

    @property
    def validation_images(self) -> int | None:
        """On how many images networks were measured; None for a study that does not say."""
        return self.task.validation_images or None

    @property
    def outdated_costs(self) -> str | None:
        """In a sentence, what is wrong with the costs when they came from other rules than those of this nas; else None."""
        if self.counting_rules == COUNTING_RULES:
            return None
        theirs = "were not recorded" if self.counting_rules is None else f"have version {self.counting_rules}"
        return (
            f"study '{self.name}': its costs were counted by rules that {theirs}, and this nas counts by version "
            f"{COUNTING_RULES}; `nas study recount {shlex.quote(self.name)}` counts them again"
        )

    @classmethod
    def of(cls, study: Study, blocks: Mapping[str, Origin], metrics: tuple[str, ...] = ()) -> StudyRow:
        """From the row of `nas_studies`, what `nas_study_blocks` has of it, and what its trainings measure."""
        return cls(
            study.id,
            study.name,
            study.space_name,
            study.space_text,
            study.space_fingerprint,
            damaged.task(study.task),
            damaged.recipe(study.recipe),
            tuple(damaged.objectives(study.objectives, OBJECTIVES)),
            damaged.constraints(study.constraints),
            study.seed,
            study.created_at,
            study.counting_rules,
            blocks,
            metrics,
        )

    def key(self, architecture: str) -> str:
        """Equal for two trials, of any study, that train the same network on the same task under the same recipe.

        Budget and seed are part of the recipe. Where the data lie (`root`) does not count when the task carries the
        `fingerprint` of what lies there. The source of a user's own blocks counts: the hash of a network has their names alone.
        """
        parts = {"architecture": architecture, "task": self.task.to_dict(), "recipe": self.recipe.to_dict()}
        if self.blocks:
            parts["blocks"] = {name: origin.digest for name, origin in self.blocks.items()}
        text = dump(parts)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class TrialRow:
    """One finished trial of a study."""

    row: int
    """Its primary key in `nas_trials`."""
    number: int
    """Its place in the study, by which people name it."""
    hash: str
    state: str
    reason: str | None
    assignment: Mapping[str, Scalar]
    published: str | None
    values: Mapping[str, float]
    """What it learned and what was measured of it, by the names of objectives, as far as it is known."""
    parameters: int
    macs: int
    activation_bytes: int
    epochs: int
    device: str | None

    @classmethod
    def of(cls, trial: Trial, values: Mapping[str, float]) -> TrialRow:
        """From the row of `nas_trials`, whose number is not NULL, and those of its `values` that have rows of their own."""
        assert trial.number is not None
        return cls(
            trial.id,
            trial.number,
            trial.hash,
            trial.state,
            trial.reason,
            damaged.assignment(trial.assignment),
            trial.published,
            {**values, **{name: value for name in EPOCH_COLUMNS if (value := getattr(trial, name)) is not None}},
            trial.parameters,
            trial.macs,
            trial.activation_bytes,
            trial.epochs,
            trial.device,
        )


@dataclass(frozen=True)
class Reconciled:
    """What had to be repaired after a driver that did not end well."""

    interrupted: int
    """Trials that were running."""
    projected: int
    """Finished trials that Optuna's tables lacked."""


@dataclass(frozen=True)
class TrialResult:
    """What is known of a trial when its training ends, or stops for now."""

    reason: str | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    """What it learned: accuracy, loss, top5, and others by the names of objectives."""
    seconds: float | None = None
    """How long it was trained."""
    device: str | None = None
    environment: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class PastResult:
    """A finished trial of any study whose result holds for another trial with the same key."""

    row: int
    """Primary key of the trial in `nas_trials`; `number` is its place in `study`."""
    study: str
    number: int
    state: str
    device: str | None
    environment: str | None
    """Key of its row in `nas_environments`."""
    values: Mapping[str, float | None]
    """What it learned, as in `TrialResult`, and what was measured of its network."""

    @classmethod
    def of(cls, row: RowMapping, values: Mapping[str, float]) -> PastResult:
        """From a row with the names of fields, and of the columns that hold values."""
        names = {one.name for one in fields(cls)}
        columns = {name: value for name, value in row.items() if name not in names}
        return cls(**{name: value for name, value in row.items() if name in names}, values={**columns, **values})
