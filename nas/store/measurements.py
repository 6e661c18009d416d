"""Test accuracies: published networks replayed, members of a front retrained, references. One row per network, way and seed.

They need no study and no claim on one: a measurement is written once, whole, in a transaction of its own.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, Table, insert, inspect, select
from sqlalchemy.orm import Session

from nas.architecture.architecture import Architecture
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.statistics.scores import Score
from nas.store import damaged
from nas.store.deviations import Deviation
from nas.store.schema import ArchitectureRow, EnvironmentRow, Measurement, ScoreRow, Study, dump, finite, utc_now
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
)
"""Columns of the frame of all measurements."""


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
    accuracy: float | None
    """On the test set, in [0, 1], like `top5`."""
    top5: float | None
    loss: float | None
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
    """Scores by part of the data, ``validation`` and ``test``: right answers of the same weights, class by class."""
    finished_at: datetime.datetime = field(default_factory=utc_now)


def record(session: Session, measured: Measured) -> None:
    """Adds a measurement; tables are made in a database that has none yet. Raises ValueError for an unknown study."""
    for table in (Measurement.__table__, ScoreRow.__table__):
        assert isinstance(table, Table)
        table.create(session.connection(), checkfirst=True)
    study_id = None
    if measured.study is not None:
        study_id = session.scalar(select(Study.id).where(Study.name == measured.study))
        if study_id is None:
            raise ValueError(f"there is no study '{measured.study}'")
    architecture = measured.architecture
    insert_if_absent(session, ArchitectureRow, {"hash": architecture.hash, "json": architecture.to_json()})
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
            accuracy=finite(measured.accuracy),
            top5=finite(measured.top5),
            loss=finite(measured.loss),
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
    for part, score in measured.scores.items():
        right, images = dump(list(score.right)), dump(list(score.images))
        session.execute(insert(ScoreRow).values(measurement_id=number, part=part, right=right, images=images))


def any_there(connection: Connection) -> bool:
    """Whether a training was measured on the test set."""
    has_table = inspect(connection).has_table(Measurement.__tablename__)
    return has_table and connection.execute(select(Measurement.id).limit(1)).first() is not None


def frame(connection: Connection) -> pd.DataFrame:
    """Every measurement with the columns `COLUMNS`, the oldest first; of one key and seed only the latest.

    `study` is a name, `task` a `LoadedTask`, `recipe` a `Recipe`; curve is a list, deviations one of `Deviation`
    (of sentences where an older version wrote them), scores a dict of `Score`. Empty where the database has no such table.
    """
    import pandas as pd

    if not inspect(connection).has_table(Measurement.__tablename__):
        return pd.DataFrame(columns=list(COLUMNS))
    columns = [getattr(Measurement, name) for name in COLUMNS if name not in ("study", "scores")]
    query = select(*columns, Study.name.label("study")).outerjoin(Study, Study.id == Measurement.study_id)
    found: Any = pd.read_sql_query(query.order_by(Measurement.id), connection)
    found = found.drop_duplicates(["key", "seed"], keep="last").reset_index(drop=True)
    scores = _scores(connection)
    found["scores"] = [scores.get(int(number), {}) for number in found["id"]]
    found = found[list(COLUMNS)]
    damaged.make_numbers(
        found, whole=("seed", "parameters", "macs", "epochs"), real=("accuracy", "top5", "loss", "seconds", "fraction")
    )
    for name in ("published", "study", "reason", "weights"):
        found[name] = found[name].astype("string")
    found["trial"] = found["trial"].astype("Int64")
    found["task"] = [damaged.task(text) for text in found["task"]]
    found["recipe"] = [damaged.recipe(text) for text in found["recipe"]]
    found["curve"] = [damaged.sequence(text, "curve") for text in found["curve"]]
    found["deviations"] = [damaged.deviations(text) for text in found["deviations"]]
    frame: pd.DataFrame = found
    return frame


def _scores(connection: Connection) -> dict[int, dict[str, Score]]:
    """Scores by measurement and part of the data."""
    if not inspect(connection).has_table(ScoreRow.__tablename__):
        return {}
    found: dict[int, dict[str, Score]] = {}
    query = select(ScoreRow.measurement_id, ScoreRow.part, ScoreRow.right, ScoreRow.images)
    for number, part, right, images in connection.execute(query):
        score = Score(damaged.counts(right, "right"), damaged.counts(images, "images"))
        if len(score.right) != len(score.images) or not score.total:
            raise damaged.Damaged(
                f"right and images of measurement {number} are of other classes: {right!r}, {images!r}"
            )
        found.setdefault(number, {})[part] = score
    return found


def _without_nan(epoch: Mapping[str, object]) -> dict[str, object]:
    return {name: finite(value) if isinstance(value, float) else value for name, value in epoch.items()}
