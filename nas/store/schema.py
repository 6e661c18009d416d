"""The tables of a study database that are ours, all named `nas_…`. Optuna's own tables lie beside them.

::

    nas_schema          the version of these tables
    nas_studies         what a study searches, and which process runs it
    nas_choices         the options of each choice, as first met
    nas_architectures   one row per network, whatever studies met it
    nas_trials          one evaluation each; the truth of which Optuna's trials are a projection
    nas_epochs          learning curves
    nas_environments    what trials were measured on
    nas_measurements    test accuracies of networks that were replayed or retrained
    nas_score_values    what those are worth by metric, on each part of the data, class by class
    nas_scores          right answers of those, class by class, as older versions wrote them
    nas_values          values of trials by the names of objectives, as far as nas_trials has no column
    nas_epoch_values    the same of learning curves
    nas_objectives      what registered objectives are
    nas_readings        what was measured of networks before their training, by device
    nas_memories        how much device memory trials took
    nas_study_blocks    blocks that are none of ours, by which version of them
    nas_checkpoints     where checkpoints of trials lie
    nas_outlines        networks of trials in a few words, which are Optuna's parameters
    nas_outline_parameters  what those words can be

Mappings and lists are stored as canonical JSON text, moments as naive UTC (Optuna does the same), a number that is not
finite as NULL.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from blocks.base import Scalar

VERSION: Final = 4
"""Raised whenever a table or the meaning of a column changes, with a step in `nas.store.migration`; a new table that older
versions need not know does not."""


class Base(DeclarativeBase):
    """Registry of the tables below."""


class Schema(Base):
    """One row."""

    __tablename__ = "nas_schema"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Study(Base):
    """All trials of one search."""

    __tablename__ = "nas_studies"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    space_name: Mapped[str]
    space_text: Mapped[str] = mapped_column(Text)
    space_fingerprint: Mapped[str]
    task: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    objectives: Mapped[str]
    constraints: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime.datetime]
    counting_rules: Mapped[int | None]
    """Version of the rules (`blocks.counting`) that the costs of all its trials came from; NULL: of before it was recorded."""
    # The process that runs the study; all NULL when none does.
    owner_token: Mapped[str | None]
    owner_host: Mapped[str | None]
    owner_pid: Mapped[int | None]
    owner_beat: Mapped[float | None]
    """Seconds since 1970 by the clock of the database, so that the clocks of two machines need not agree."""


class ChoiceRow(Base):
    """The options of one choice of a study: Optuna wants them the same for every trial."""

    __tablename__ = "nas_choices"
    study_id: Mapped[int] = mapped_column(ForeignKey("nas_studies.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    options: Mapped[str] = mapped_column(Text)


class ArchitectureRow(Base):
    """One network. Its hash does not see the names of nodes; the JSON is that of the trial which met it first."""

    __tablename__ = "nas_architectures"
    hash: Mapped[str] = mapped_column(primary_key=True)
    json: Mapped[str] = mapped_column(Text)


class EnvironmentRow(Base):
    """Device, versions, commit: what `nas.train.environment` says."""

    __tablename__ = "nas_environments"
    hash: Mapped[str] = mapped_column(primary_key=True)
    json: Mapped[str] = mapped_column(Text)


class Trial(Base):
    """One evaluation of one architecture.

    Its primary key is called `row` in code, and is known from its start; its `number`, `trial` where a study stands beside it,
    is the one that people see. Ray Tune's name for it is `tune_id`, Optuna's key `optuna_trial`.
    """

    __tablename__ = "nas_trials"
    __table_args__ = (UniqueConstraint("study_id", "number"), Index("nas_trials_key", "key"))
    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("nas_studies.id"))
    number: Mapped[int | None]
    """Place in the order of finishing, from 0; the number of Optuna's trial as well. NULL while the trial runs."""
    hash: Mapped[str] = mapped_column(ForeignKey("nas_architectures.hash"))
    key: Mapped[str]
    """Equal for two trials that train the same network on the same task under the same recipe."""
    assignment: Mapped[str] = mapped_column(Text)
    published: Mapped[str | None]
    parameters: Mapped[int] = mapped_column(BigInteger)
    macs: Mapped[int] = mapped_column(BigInteger)
    activation_bytes: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    reason: Mapped[str | None] = mapped_column(Text)
    accuracy: Mapped[float | None]
    top5: Mapped[float | None]
    loss: Mapped[float | None]
    epochs: Mapped[int]
    seconds: Mapped[float | None]
    device: Mapped[str | None]
    environment: Mapped[str | None] = mapped_column(ForeignKey("nas_environments.hash"))
    source: Mapped[int | None] = mapped_column(ForeignKey("nas_trials.id"))
    """The trial whose result was taken over because it has the same key."""
    started_at: Mapped[datetime.datetime]
    finished_at: Mapped[datetime.datetime | None]


class EpochRow(Base):
    """One point of a learning curve."""

    __tablename__ = "nas_epochs"
    trial_id: Mapped[int] = mapped_column(ForeignKey("nas_trials.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    train_loss: Mapped[float | None]
    loss: Mapped[float | None]
    accuracy: Mapped[float | None]
    top5: Mapped[float | None]
    seconds: Mapped[float | None]
    images_per_second: Mapped[float | None]
    lr: Mapped[float | None]
    train_accuracy: Mapped[float | None]
    """NULL in what a nas wrote that did not store it."""


class Measurement(Base):
    """One training whose network was measured on the test set: a replay of a published network, or a retraining.

    A database that was made before this table existed gets it with its first measurement.
    """

    __tablename__ = "nas_measurements"
    __table_args__ = (Index("nas_measurements_key", "key", "seed"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    """``replay`` or ``retrain``."""
    published: Mapped[str | None]
    study_id: Mapped[int | None] = mapped_column(ForeignKey("nas_studies.id"))
    trial: Mapped[int | None]
    """Number of the retrained trial."""
    hash: Mapped[str] = mapped_column(ForeignKey("nas_architectures.hash"))
    key: Mapped[str]
    """Equal for trainings that differ in the seed alone."""
    seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str]
    reason: Mapped[str | None] = mapped_column(Text)
    accuracy: Mapped[float | None]
    """On the test images, like `top5` and `loss`; NULL in a task that has none. All that is measured is in nas_score_values."""
    top5: Mapped[float | None]
    loss: Mapped[float | None]
    parameters: Mapped[int] = mapped_column(BigInteger)
    macs: Mapped[int] = mapped_column(BigInteger)
    task: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    fraction: Mapped[float]
    epochs: Mapped[int]
    curve: Mapped[str] = mapped_column(Text)
    deviations: Mapped[str] = mapped_column(Text)
    weights: Mapped[str | None]
    seconds: Mapped[float | None]
    device: Mapped[str]
    environment: Mapped[str] = mapped_column(ForeignKey("nas_environments.hash"))
    started_at: Mapped[datetime.datetime]
    finished_at: Mapped[datetime.datetime]


class ScoreValueRow(Base):
    """One value of a measured network on one part of the data. An older database gets the table with its first row."""

    __tablename__ = "nas_score_values"
    measurement_id: Mapped[int] = mapped_column(ForeignKey("nas_measurements.id"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    """``validation`` or ``test``."""
    name: Mapped[str] = mapped_column(primary_key=True)
    """Name of a metric."""
    place: Mapped[int] = mapped_column(primary_key=True)
    """Number of a class; -1: of all images."""
    value: Mapped[float | None]
    """NULL for a class that no image has."""
    error: Mapped[float | None]
    """Standard error."""
    images: Mapped[int | None]
    """Images of the class, or all."""


class ScoreRow(Base):
    """Right answers of a measured network, class by class: what older versions wrote, and this one reads."""

    __tablename__ = "nas_scores"
    measurement_id: Mapped[int] = mapped_column(ForeignKey("nas_measurements.id"), primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)
    """``validation`` or ``test``."""
    right: Mapped[str] = mapped_column(Text)
    """JSON: images of each class that were classified right."""
    images: Mapped[str] = mapped_column(Text)
    """JSON: images of each class."""


class ValueRow(Base):
    """One value of a trial, by the name of an objective."""

    __tablename__ = "nas_values"
    trial_id: Mapped[int] = mapped_column(ForeignKey("nas_trials.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class EpochValueRow(Base):
    """One value of a point of a learning curve, by its name."""

    __tablename__ = "nas_epoch_values"
    trial_id: Mapped[int] = mapped_column(ForeignKey("nas_trials.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]


class ObjectiveRow(Base):
    """What an objective is that nas does not have of its own, so that a study with it can be read anywhere."""

    __tablename__ = "nas_objectives"
    name: Mapped[str] = mapped_column(primary_key=True)
    row: Mapped[str] = mapped_column(Text)
    """JSON: the fields of `nas.objectives.Objective`."""


class ReadingRow(Base):
    """One measurement of one network before its training."""

    __tablename__ = "nas_readings"
    __table_args__ = (Index("nas_readings_hash", "hash", "name"), Index("nas_readings_trial", "trial_id"))
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    """Name of the objective."""
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("nas_trials.id"))
    """The trial for which it was measured; NULL for one measured on its own."""
    hash: Mapped[str]
    """Hash of the architecture, which need not be that of a trial."""
    input: Mapped[str]
    """Shape of an image as JSON."""
    classes: Mapped[int]
    device: Mapped[str]
    settings: Mapped[str] = mapped_column(Text)
    """JSON: what else the value hangs on."""
    value: Mapped[float]
    low: Mapped[float | None]
    """Quartiles of several runs."""
    high: Mapped[float | None]
    runs: Mapped[int]
    version: Mapped[str]
    """Version of PyTorch."""
    measured_at: Mapped[datetime.datetime]


class MemoryRow(Base):
    """How much device memory a trial took. A database that was made before this table gets it with its first row."""

    __tablename__ = "nas_memories"
    trial_id: Mapped[int] = mapped_column(ForeignKey("nas_trials.id"), primary_key=True)
    predicted_bytes: Mapped[int] = mapped_column(BigInteger)
    peak_bytes: Mapped[int] = mapped_column(BigInteger)
    gpus: Mapped[float]
    """The share of a device that it had."""


class StudyBlockRow(Base):
    """A block of a user's own in the space of a study. A database that was made before this table gets it with its first row."""

    __tablename__ = "nas_study_blocks"
    study_id: Mapped[int] = mapped_column(ForeignKey("nas_studies.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(Text)
    """File or module that it came from."""
    digest: Mapped[str]
    """SHA-256 of its source, hexadecimal."""


class OutlineParameterRow(Base):
    """A parameter of the outlines of a study's networks. A database that was made before this table gets it with its first row."""

    __tablename__ = "nas_outline_parameters"
    study_id: Mapped[int] = mapped_column(ForeignKey("nas_studies.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[int]
    """Where it stands among the others."""
    options: Mapped[str] = mapped_column(Text)
    """JSON: the options in their order, or {"low", "high", "log"} of whole numbers."""


class OutlineRow(Base):
    """The outline of the network of a trial. A database that was made before this table gets it with its first row."""

    __tablename__ = "nas_outlines"
    trial_id: Mapped[int] = mapped_column(ForeignKey("nas_trials.id"), primary_key=True)
    values: Mapped[str] = mapped_column(Text)
    """JSON: a value for each parameter."""


class CheckpointsRow(Base):
    """The folder of checkpoints of a study's trials. A database that was made before this table gets it with its first row."""

    __tablename__ = "nas_checkpoints"
    study_id: Mapped[int] = mapped_column(ForeignKey("nas_studies.id"), primary_key=True)
    folder: Mapped[str] = mapped_column(Text, primary_key=True)
    """As the search knew it; it lies on another machine where the search ran there."""


EPOCH_VALUES: Final = tuple(
    column.name for column in EpochRow.__table__.columns if column.name not in ("trial_id", "epoch")
)


def dump(value: Mapping[str, object] | Sequence[object]) -> str:
    """Canonical JSON: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def as_stored(value: Mapping[str, object]) -> dict[str, object]:
    """Plain data in the order in which it is stored."""
    data: dict[str, object] = json.loads(dump(value))
    return data


def dump_options(options: Sequence[Scalar]) -> str:
    """JSON of the options of a choice, in their order."""
    return json.dumps(list(options), separators=(",", ":"))


def finite(value: float | None) -> float | None:
    """The number, or None when it is missing, NaN or infinite: not every database can hold those."""
    return None if value is None or not math.isfinite(value) else float(value)


def utc_now() -> datetime.datetime:
    """This moment as naive UTC, which is what every database stores alike."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
