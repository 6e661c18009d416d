"""Test accuracies: published networks replayed, members of a front retrained, references. One row per network, way and seed.

They need no study and no claim on one: a measurement is written once, whole, in a transaction of its own.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import Connection, Table, insert, inspect, select
from sqlalchemy.orm import Session

from nas.architecture.architecture import Architecture
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.objectives import ACCURACY, OBJECTIVES, metric_of
from nas.statistics.scores import ClassScore, Estimate, Score
from nas.store import damaged
from nas.store.deviations import Deviation
from nas.store.schema import (
    ArchitectureRow,
    EnvironmentRow,
    Measurement,
    ScoreRow,
    ScoreValueRow,
    Study,
    dump,
    finite,
    utc_now,
)
from nas.store.transactions import insert_if_absent

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "id",
    "kind",
    "published",
    "study",
    "trial",
    "hash",
    "key",
    "seed",
    "state",
    "reason",
    "accuracy",
    "top5",
    "loss",
    "parameters",
    "macs",
    "task",
    "recipe",
    "fraction",
    "epochs",
    "curve",
    "deviations",
    "weights",
    "seconds",
    "device",
    "environment",
    "started_at",
    "finished_at",
    "scores",
    "metric",
)
"""Columns of the frame of all measurements."""
MADE: Final = ("study", "scores", "metric")
"""Those that are no columns of the table."""
VALUES: Final = ("accuracy", "top5", "loss")
"""Values on the test images that the table has a column for."""
ALL: Final = -1
"""In the place of a class: all images."""


@dataclass(frozen=True)
class Measured:
    """One training with its one look at the test set."""

    kind: Literal["replay", "retrain", "reference"]
    architecture: Architecture
    key: str
    """Equal for trainings that differ in the seed alone."""
    seed: int
    state: str
    """A finished state of a trial."""
    reason: str
    parameters: int
    macs: int
    task: LoadedTask
    recipe: Recipe
    fraction: float
    """Share of the training images that was used."""
    curve: Sequence[Mapping[str, object]]
    """Epochs as `nas.train.Epoch` has them."""
    deviations: Sequence[Deviation]
    """From the paper, or from the search."""
    seconds: float
    device: str
    environment: Mapping[str, object]
    started_at: datetime.datetime
    """Naive UTC."""
    published: str | None = None
    """Name of the published config, or of the reference."""
    study: str | None = None
    trial: int | None = None
    weights: str | None = None
    """File of the final weights."""
    scores: Mapping[str, Score] = field(default_factory=dict)
    """What the same weights are worth, by part of the data, ``validation`` and ``test``."""
    finished_at: datetime.datetime = field(default_factory=utc_now)


def record(session: Session, measured: Measured) -> None:
    """Adds a measurement; tables are made in a database that has none yet. Raises ValueError for an unknown study."""
    for table in (Measurement.__table__, ScoreValueRow.__table__):
        assert isinstance(table, Table)
        table.create(session.connection(), checkfirst=True)
    study_id = None
    if measured.study is not None:
        study_id = session.scalar(select(Study.id).where(Study.name == measured.study))
        if study_id is None:
            raise ValueError(f"there is no study '{measured.study}'")
    architecture = measured.architecture
    insert_if_absent(session, ArchitectureRow, {"hash": architecture.hash, "json": architecture.to_json()})
    tested = measured.scores.get("test", Score({}))
    environment = dump(measured.environment)
    digest = hashlib.sha256(environment.encode()).hexdigest()[:32]
    insert_if_absent(session, EnvironmentRow, {"hash": digest, "json": environment})
    inserted = session.execute(
        insert(Measurement).values(
            kind=measured.kind,
            published=measured.published,
            study_id=study_id,
            trial=measured.trial,
            hash=architecture.hash,
            key=measured.key,
            seed=measured.seed,
            state=measured.state,
            reason=measured.reason or None,
            **{name: finite(tested.value(name)) for name in VALUES},
            parameters=measured.parameters,
            macs=measured.macs,
            task=dump(measured.task.to_dict()),
            recipe=dump(measured.recipe.to_dict()),
            fraction=measured.fraction,
            epochs=len(measured.curve),
            curve=dump([_without_nan(epoch) for epoch in measured.curve]),
            deviations=dump([deviation.to_dict() for deviation in measured.deviations]),
            weights=measured.weights,
            seconds=finite(measured.seconds),
            device=measured.device,
            environment=digest,
            started_at=measured.started_at,
            finished_at=measured.finished_at,
        )
    )
    (number,) = inserted.inserted_primary_key  # type: ignore[attr-defined]
    rows = [
        {"measurement_id": number, "part": part, **row}
        for part, score in measured.scores.items()
        for row in _rows(score)
    ]
    if rows:
        session.execute(insert(ScoreValueRow), rows)


def any_there(connection: Connection) -> bool:
    """Whether a training was measured on the test set."""
    has_table = inspect(connection).has_table(Measurement.__tablename__)
    return has_table and connection.execute(select(Measurement.id).limit(1)).first() is not None


def frame(connection: Connection) -> pd.DataFrame:
    """Every measurement with the columns `COLUMNS`, the oldest first; of one key and seed only the latest.

    `study` is a name, `task` a `LoadedTask`, `recipe` a `Recipe`; curve is a list, deviations one of `Deviation`
    (of sentences where an older version wrote them), scores a dict of `Score` by part of the data, `metric` the name of what
    its study chooses by. Empty where the database has no such table.
    """
    import pandas as pd

    if not inspect(connection).has_table(Measurement.__tablename__):
        return pd.DataFrame(columns=list(COLUMNS))
    columns = [getattr(Measurement, name) for name in COLUMNS if name not in MADE]
    of_study = (Study.name.label("study"), Study.objectives.label("metric"))
    query = select(*columns, *of_study).outerjoin(Study, Study.id == Measurement.study_id)
    found: Any = pd.read_sql_query(query.order_by(Measurement.id), connection)
    found = found.drop_duplicates(["key", "seed"], keep="last").reset_index(drop=True)
    scores = _scores(connection)
    found["scores"] = [scores.get(int(row.id)) or _of_columns(row) for row in found.itertuples()]
    found["metric"] = [_metric(row) for row in found.itertuples()]
    found = found[list(COLUMNS)]
    damaged.make_numbers(found, whole=("seed", "parameters", "macs", "epochs"), real=(*VALUES, "seconds", "fraction"))
    for name in ("published", "study", "reason", "weights"):
        found[name] = found[name].astype("string")
    found["trial"] = found["trial"].astype("Int64")
    found["task"] = [damaged.task(text) for text in found["task"]]
    found["recipe"] = [damaged.recipe(text) for text in found["recipe"]]
    found["curve"] = [damaged.sequence(text, "curve") for text in found["curve"]]
    found["deviations"] = [damaged.deviations(text) for text in found["deviations"]]
    frame: pd.DataFrame = found
    return frame


def _rows(score: Score) -> list[dict[str, object]]:
    """The values of a score as rows of `nas_score_values`."""
    rows: list[dict[str, object]] = [
        {"name": name, "place": ALL, "value": finite(one.value), "error": finite(one.error), "images": score.images}
        for name, one in score.metrics.items()
    ]
    return rows + [
        {
            "name": score.class_metric,
            "place": place,
            "value": finite(one.value),
            "error": finite(one.error),
            "images": one.images,
        }
        for place, one in enumerate(score.classes)
    ]


def _scores(connection: Connection) -> dict[int, dict[str, Score]]:
    """Scores by measurement and part of the data."""
    found: dict[int, dict[str, Score]] = {}
    if inspect(connection).has_table(ScoreRow.__tablename__):
        counts = select(ScoreRow.measurement_id, ScoreRow.part, ScoreRow.right, ScoreRow.images)
        for number, part, right, images in connection.execute(counts):
            found.setdefault(number, {})[part] = _of_counts(number, right, images)
    if not inspect(connection).has_table(ScoreValueRow.__tablename__):
        return found
    query = select(ScoreValueRow.__table__).order_by(
        ScoreValueRow.measurement_id, ScoreValueRow.part, ScoreValueRow.place, ScoreValueRow.name
    )
    rows: dict[tuple[int, str], list[Any]] = {}
    for row in connection.execute(query):
        rows.setdefault((row.measurement_id, row.part), []).append(row)
    for (number, part), some in rows.items():
        found.setdefault(number, {})[part] = _score(some)
    return found


def _score(rows: Sequence[Any]) -> Score:
    """The score that `_rows` made rows of."""
    metrics: dict[str, Estimate] = {}
    classes: list[ClassScore] = []
    images, class_metric = None, ""
    for row in rows:
        value, error = damaged.real(row.value, row.name), damaged.real(row.error, f"error of {row.name}")
        count = row.images
        if count is not None and (type(count) is not int or count < 0):
            raise damaged.Damaged(f"images of measurement {row.measurement_id} are no count: {count!r}")
        if row.place == ALL:
            images = count
            metrics[row.name] = Estimate(math.nan if value is None else value, error)
        elif row.place != len(classes):
            raise damaged.Damaged(f"measurement {row.measurement_id} lacks class {len(classes)}")
        else:
            class_metric = row.name
            classes.append(ClassScore(value, error, count or 0))
    return Score(metrics, images, tuple(classes), class_metric)


def _of_counts(number: int, right: Any, images: Any) -> Score:
    """The score of right answers, as older versions wrote them."""
    hits, tries = damaged.counts(right, "right"), damaged.counts(images, "images")
    if len(hits) != len(tries) or not sum(tries):
        raise damaged.Damaged(f"right and images of measurement {number} are of other classes: {right!r}, {images!r}")
    return Score.of_counts(hits, tries)


def _of_columns(row: Any) -> dict[str, Score]:
    """What the table itself says of a measurement of a version that counted nothing class by class."""
    known = {name: damaged.real(getattr(row, name), name) for name in VALUES}
    metrics = {name: Estimate(value) for name, value in known.items() if value is not None}
    return {"test": Score(metrics)} if metrics else {}


def _metric(row: Any) -> str:
    """What the study of a row chooses by; of a row without one accuracy, or the first that was measured instead."""
    if isinstance(row.metric, str):
        return metric_of(damaged.objectives(row.metric, OBJECTIVES)).name
    tested = row.scores.get("test", Score({})).metrics
    return ACCURACY.name if not tested or ACCURACY.name in tested else next(iter(set(tested) - {"loss"}), "loss")


def _without_nan(epoch: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _without_nan(value)
        if isinstance(value, Mapping)
        else finite(value)
        if isinstance(value, float)
        else value
        for name, value in epoch.items()
    }
