"""Reads a study with SQL into pandas frames.

50,000 trials with 90 choices each: 0.5 s, and 2.8 s with their assignments; Optuna's `study.trials` takes 41 s (SQLite).
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Executable, and_, case, func, literal, or_, select

from nas.objectives import OBJECTIVES, learned
from nas.pareto import pareto
from nas.states import COMPLETE, FINISHED, PAUSED, RUNNING, UNTRAINED
from nas.store import damaged, values
from nas.store.records import StudyRow
from nas.store.schema import EPOCH_VALUES, EnvironmentRow, EpochRow, Study, Trial

if TYPE_CHECKING:
    import pandas as pd

MANY = 10_000
"""Numbers that a query may list."""


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection inside: with 100,000 trials in memory it takes half of the time of whatever makes objects."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def studies(connection: Connection) -> list[dict[str, Any]]:
    """One record per study, in the order of their making.

    Keys: study, space, data, objectives (list), trials (finished), complete, untrained, running, best_accuracy, seed,
    created_at, updated_at (last finished trial). Of a study whose row is damaged data is None, or objectives empty: the others
    can be listed all the same.
    """
    query = (
        select(
            Study.name.label("study"),
            Study.space_name.label("space"),
            Study.task.label("data"),
            Study.objectives,
            func.count(Trial.number).label("trials"),
            func.count(case((Trial.state == COMPLETE, 1))).label("complete"),
            func.count(case((Trial.state == UNTRAINED, 1))).label("untrained"),
            func.count(case((Trial.state == RUNNING, 1))).label("running"),
            func.max(case((Trial.state == COMPLETE, Trial.accuracy))).label("best_accuracy"),
            Study.seed,
            Study.created_at,
            func.max(Trial.finished_at).label("updated_at"),
        )
        .outerjoin(Trial, Trial.study_id == Study.id)
        .group_by(Study.id)
        .order_by(Study.id)
    )
    return [
        {
            **row,
            "data": _data(row["data"]),
            "objectives": _objectives(row["objectives"]),
            "best_accuracy": damaged.real(row["best_accuracy"], "best_accuracy"),
        }
        for row in connection.execute(query).mappings()
    ]


def _data(text: Any) -> str | None:
    try:
        return damaged.task(text).dataset
    except damaged.Damaged:
        return None


def _objectives(text: Any) -> list[str]:
    try:
        return damaged.objectives(text, OBJECTIVES)
    except damaged.Damaged:
        return []


def trials(
    connection: Connection,
    study: StudyRow,
    *,
    assignments: bool = True,
    since: int = 0,
    numbers: Sequence[int] | None = None,
    paused: bool = False,
) -> pd.DataFrame:
    """One row per finished trial from number `since` on, or with one of these `numbers`, in the order of finishing.

    `paused`: those instead that are paused, in the order in which they began; their number is -1.

    Columns: trial (number), id, hash, key, state, reason, accuracy, top5, loss, parameters, macs, activation_bytes,
    whatever else the study knows of its trials by the names of objectives, epochs, seconds, device, environment (hash), published,
    source (id), started_at, finished_at, and assignment (a dict) unless switched off.
    """
    columns = [
        Trial.number.label("trial"),
        Trial.id,
        Trial.hash,
        Trial.key,
        Trial.state,
        Trial.reason,
        Trial.accuracy,
        Trial.top5,
        Trial.loss,
        Trial.parameters,
        Trial.macs,
        Trial.activation_bytes,
        Trial.epochs,
        Trial.seconds,
        Trial.device,
        Trial.environment,
        Trial.published,
        Trial.source,
        Trial.started_at,
        Trial.finished_at,
    ]
    query = select(*columns, Trial.assignment) if assignments else select(*columns)
    wanted = Trial.state == PAUSED if paused else Trial.number >= since
    query = query.where(Trial.study_id == study.id, wanted).order_by(Trial.number, Trial.id)
    if numbers is not None and len(numbers) <= MANY:
        query = query.where(Trial.number.in_(numbers))
    frame = _read(connection, query)
    if paused:
        frame["trial"] = -1
    if numbers is not None:
        frame = frame[frame["trial"].isin(numbers)].reset_index(drop=True)
    damaged.make_numbers(
        frame,
        whole=("trial", "parameters", "macs", "activation_bytes", "epochs"),
        real=("accuracy", "top5", "loss", "seconds"),
    )
    known = {PAUSED} if paused else set(FINISHED)
    if not frame["state"].isin(known).all():
        raise ValueError(f"state: {sorted(map(str, set(frame['state']) - known))}")
    for name in ("reason", "device", "environment", "published"):
        frame[name] = frame[name].astype("string")
    frame["source"] = frame["source"].astype("Int64")
    values.add_columns(frame, connection, study.id, study.objectives, after="activation_bytes")
    if assignments:
        with uncollected():
            frame["assignment"] = [damaged.assignment(text) for text in frame["assignment"].tolist()]
    return frame


def front(connection: Connection, study: StudyRow) -> pd.DataFrame:
    """The rows of `trials` that no other trial beats: as `nas.pareto.pareto` finds them.

    Only the objectives of the others are read.
    """
    costs = [getattr(Trial, name) for name in study.objectives if hasattr(Trial, name)]
    known = _read(
        connection,
        select(Trial.id, Trial.number.label("trial"), Trial.hash, Trial.state, *costs)
        .where(Trial.study_id == study.id, Trial.state == COMPLETE)
        .order_by(Trial.number),
    )
    values.add_columns(known, connection, study.id, study.objectives)
    numbers = [int(number) for number in pareto(known, study.objectives)["trial"]]
    chosen = trials(connection, study, numbers=numbers)
    return pareto(chosen, study.objectives)


def epochs(connection: Connection, study: StudyRow, *, since: int | None = None) -> pd.DataFrame:
    """Learning curves; a trial that took over a result has the curve of its source.

    With `since`: only those of finished trials from that number on.

    Columns: trial (number; NA while it runs), hash, epoch, train_loss, loss, accuracy, top5, seconds,
    images_per_second, lr, train_accuracy, and what else the study optimizes that is learned.
    """
    query = (
        select(
            Trial.number.label("trial"),
            Trial.hash,
            *EpochRow.__table__.columns,
        )
        .join(Trial, func.coalesce(Trial.source, Trial.id) == EpochRow.trial_id)
        .where(Trial.study_id == study.id)
        .order_by(Trial.number, Trial.id, EpochRow.epoch)
    )
    frame = _read(connection, query if since is None else query.where(Trial.number >= since))
    damaged.make_numbers(frame, whole=("epoch",), real=EPOCH_VALUES)
    frame["trial"] = frame["trial"].astype("Int64")
    curves = list(zip(frame.pop("trial_id"), frame["epoch"], strict=True))
    others = [name for name in learned(study.objectives) if name not in frame]
    by_epoch = values.of_epochs(connection, study.id, sorted({int(epoch) for _, epoch in curves})) if others else {}
    for name in others:
        frame[name] = [by_epoch.get((int(trial), int(epoch)), {}).get(name, math.nan) for trial, epoch in curves]
    return frame


def accuracies(connection: Connection, study: StudyRow, at: Sequence[int], *, paused: bool = False) -> pd.DataFrame:
    """What the trials that finished were worth at the epochs `at`, in the order of finishing; with `paused` those too that are.

    Columns: trial (number; -1 where it is paused), hash, state, epoch, what was learned by then (accuracy, top5, loss and
    others by their names), parameters, macs, activation_bytes, and whatever else is known of the networks.
    """
    frame = _read(
        connection,
        select(
            func.coalesce(Trial.number, -1).label("trial"),
            Trial.hash,
            Trial.state,
            EpochRow.epoch,
            *(getattr(EpochRow, name) for name in values.EPOCH_COLUMNS),
            Trial.parameters,
            Trial.macs,
            Trial.activation_bytes,
            Trial.id,
            EpochRow.trial_id,
        )
        .join(EpochRow, func.coalesce(Trial.source, Trial.id) == EpochRow.trial_id)
        .where(
            Trial.study_id == study.id,
            or_(Trial.number.is_not(None), and_(literal(paused), Trial.state == PAUSED)),
            EpochRow.epoch.in_(list(at)),
        )
        .order_by(Trial.number, EpochRow.epoch),
    )
    damaged.make_numbers(frame, whole=("trial", "epoch", "parameters", "macs"), real=values.EPOCH_COLUMNS)
    curves = zip(frame.pop("trial_id"), frame["epoch"], strict=True)
    by_epoch = values.of_epochs(connection, study.id, at)
    places = [by_epoch.get((int(trial), int(epoch)), {}) for trial, epoch in curves]
    for name in sorted({name for place in places for name in place}):
        frame[name] = [place.get(name, math.nan) for place in places]
    values.add_columns(frame, connection, study.id, study.objectives)
    return frame.drop(columns="id")


def environments(connection: Connection, study: StudyRow) -> dict[str, dict[str, Any]]:
    """What the trials of the study were measured on, by hash, the most used first."""
    rows = connection.execute(
        select(EnvironmentRow.hash, EnvironmentRow.json)
        .join(Trial, Trial.environment == EnvironmentRow.hash)
        .where(Trial.study_id == study.id)
        .group_by(EnvironmentRow.hash, EnvironmentRow.json)
        .order_by(func.count().desc(), EnvironmentRow.hash)
    )
    return {digest: damaged.mapping(text, "environment") for digest, text in rows}


def _read(connection: Connection, query: Executable) -> pd.DataFrame:
    import pandas as pd

    return pd.read_sql_query(query, connection)
