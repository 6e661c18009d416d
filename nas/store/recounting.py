"""Counting the costs of a study again, when the rules have changed since they were counted.

A cost stands in three places: in the row of its trial, among the values and attributes that Optuna has of it, and in the
rows of its retrainings. Replays of published networks belong to no study; their rows say for which images they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from blocks.counting import COUNTING_RULES
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost, cost
from nas.errors import NasError, StorageError
from nas.objectives import COUNTED
from nas.states import COMPLETE
from nas.store import damaged, optuna_projection
from nas.store.records import StudyRow
from nas.store.schema import ArchitectureRow, Measurement, Study, Trial


@dataclass(frozen=True)
class Recounted:
    """What counting again has changed."""

    trials: int
    changed: tuple[int, ...]
    """Numbers of the trials that have another cost now."""
    outside: tuple[int, ...]
    """Numbers of the complete trials that break a constraint of the study now."""


@dataclass(frozen=True)
class Replays:
    """What counting the measured networks of no study again has changed."""

    measured: int
    changed: int
    uncounted: tuple[str, ...]
    """Hashes of networks that this nas cannot count; their rows are left as they are."""


def count_replays(session: Session) -> tuple[list[dict[str, int]], Replays]:
    """The rows of measurements of no study that have another cost now, as what to write in them; and a summary."""
    if not inspect(session.connection()).has_table(Measurement.__tablename__):
        return [], Replays(0, 0, ())
    rows = session.execute(
        select(Measurement, ArchitectureRow.json)
        .join(ArchitectureRow, ArchitectureRow.hash == Measurement.hash)
        .where(Measurement.study_id.is_(None))
    ).all()
    changes: list[dict[str, int]] = []
    uncounted: set[str] = set()
    for row, text in rows:
        try:
            task = damaged.task(row.task)
            if task.input is None or task.classes is None:
                raise damaged.Damaged("task: names no input and classes")
            now = cost(Architecture.from_json(text), task.input, task.classes)
        except (NasError, damaged.Damaged):
            uncounted.add(row.hash)
            continue
        if (row.parameters, row.macs) != (now.parameters, now.macs):
            changes.append({"id": row.id, "parameters": now.parameters, "macs": now.macs})
    return changes, Replays(len(rows), len(changes), tuple(sorted(uncounted)))


def count(networks: Mapping[str, str], study: StudyRow, progress: Callable[[int, int], None]) -> dict[str, Cost]:
    """The cost of every network, by hash. Raises StorageError that names the one that cannot be counted."""
    input, classes = study.task.input, study.task.classes
    if input is None or classes is None:
        raise StorageError(f"study '{study.name}': its task names no input and classes, without which no cost is known")
    costs: dict[str, Cost] = {}
    for done, (digest, text) in enumerate(networks.items()):
        progress(done, len(networks))
        try:
            costs[digest] = cost(Architecture.from_json(text), input, classes)
        except NasError as problem:
            raise StorageError(f"study '{study.name}': network {digest[:8]} cannot be counted: {problem}") from None
    return costs


def write(session: Session, study: StudyRow, costs: Mapping[str, Cost]) -> Recounted:
    """Puts the costs wherever the study has them, and says by which rules they were counted."""
    columns = [getattr(Trial, name) for name in COUNTED]
    trials = session.execute(
        select(Trial.id, Trial.number, Trial.hash, Trial.state, *columns)
        .where(Trial.study_id == study.id, Trial.number.is_not(None))
        .order_by(Trial.number)
    ).all()
    counted = {digest: {name: getattr(price, name) for name in COUNTED} for digest, price in costs.items()}
    changed = [row for row in trials if tuple(row[4:]) != tuple(counted[row.hash].values())]
    if changed:
        session.execute(update(Trial), [{"id": row.id, **counted[row.hash]} for row in changed])
        told = {int(row.number): counted[row.hash] for row in changed}
        optuna_projection.change_costs(session, study.name, told, study.objectives)
    if inspect(session.connection()).has_table(Measurement.__tablename__):
        _measurements(session, study, costs)
    session.execute(update(Study).where(Study.id == study.id).values(counting_rules=COUNTING_RULES))
    outside = [row.number for row in trials if row.state == COMPLETE and _breaks(study, costs[row.hash])]
    return Recounted(len(trials), tuple(row.number for row in changed), tuple(outside))


def _measurements(session: Session, study: StudyRow, costs: Mapping[str, Cost]) -> None:
    for digest in session.scalars(select(Measurement.hash).where(Measurement.study_id == study.id).distinct()).all():
        if digest in costs:
            session.execute(
                update(Measurement)
                .where(Measurement.study_id == study.id, Measurement.hash == digest)
                .values(parameters=costs[digest].parameters, macs=costs[digest].macs)
            )


def _breaks(study: StudyRow, price: Cost) -> bool:
    return any(name in price and bounds.broken(price[name]) is not None for name, bounds in study.constraints.items())
