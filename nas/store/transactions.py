"""What happens to a trial in the database: it starts, learns, finishes. Each function is part of one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from blocks.base import Scalar
from nas.architecture.architecture import Architecture
from nas.architecture.cost import Cost
from nas.errors import StorageError
from nas.objectives import OBJECTIVES, learned
from nas.states import COMPLETE, FINISHED, INTERRUPTED, PAUSED, RUNNING
from nas.store import damaged, optuna_projection, outlines
from nas.store import values as by_name
from nas.store.optuna_projection import Choice, Distribution, Finished
from nas.store.records import PastResult, StudyRow, TrialResult
from nas.store.schema import (
    EPOCH_VALUES,
    ArchitectureRow,
    Base,
    ChoiceRow,
    EnvironmentRow,
    EpochRow,
    Trial,
    dump,
    dump_options,
    finite,
    utc_now,
)


@dataclass
class Known:
    """What a study knows of the parameters of its trials."""

    choices: dict[str, Choice] = field(default_factory=dict)
    """Those that it has met, by path."""
    outline: dict[str, Distribution] = field(default_factory=dict)
    """The parameters of the outlines of its networks; none in a study without outlines."""

    @property
    def params(self) -> Mapping[str, Distribution]:
        """What Optuna is told of a trial."""
        return self.outline or self.choices


_EPOCHS = Base.metadata.tables[EpochRow.__tablename__]
_DELETE_EPOCH = _EPOCHS.delete().where(_EPOCHS.c.trial_id == bindparam("row"), _EPOCHS.c.epoch == bindparam("number"))


def choices(session: Session, study: StudyRow) -> dict[str, Choice]:
    """Every choice that the study has met."""
    rows = session.execute(select(ChoiceRow.name, ChoiceRow.options).where(ChoiceRow.study_id == study.id))
    return {name: Choice.of(damaged.sequence(options, "options")) for name, options in rows}


def outline_of(session: Session, study: StudyRow) -> dict[str, Distribution]:
    """The parameters of the outlines of a study's networks; none of a study without outlines."""
    known = outlines.parameters(session, study.id)
    return {name: optuna_projection.distribution(parameter) for name, parameter in known.items()}


def check_outline(
    study: StudyRow, known: Mapping[str, Distribution], outline: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    """The outline of a network as it is stored, which is empty in a study without outlines.

    Raises ValueError for one that lacks a parameter of the study's, or has a value that the parameter does not have.
    """
    if missing := sorted(known.keys() - outline.keys()):
        raise ValueError(f"study '{study.name}': the outline of a network lacks '{missing[0]}'")
    for name, parameter in known.items():
        parameter.internal(outline[name])
    return {name: outline[name] for name in known}


def check_choices(
    study: StudyRow,
    known: Mapping[str, Choice],
    assignment: Mapping[str, Scalar],
    options: Mapping[str, Sequence[Scalar]],
) -> dict[str, Choice]:
    """The choices of this assignment that are new to the study.

    Raises StorageError when one was met with other options, ValueError when a value is none of the options.
    """
    new: dict[str, Choice] = {}
    for name, value in assignment.items():
        choice = known.get(name)
        if choice is None:
            choice = new[name] = Choice.of(options[name])
        elif dump_options(choice.options) != dump_options(options[name]):
            raise StorageError(
                f"study '{study.name}': the choice '{name}' had the options {dump_options(choice.options)} and has now "
                f"{dump_options(options[name])}; a changed space needs a new --study"
            )
        choice.index(value)
    return new


def start(
    session: Session,
    study: StudyRow,
    new_choices: Mapping[str, Choice],
    assignment: Mapping[str, Scalar],
    architecture: Architecture,
    cost: Cost,
    published: str | None,
    outline: Mapping[str, Scalar],
) -> int:
    """Adds the running trial, and what it refers to. Returns its row."""
    for name, choice in new_choices.items():
        values = {"study_id": study.id, "name": name, "options": dump_options(choice.options)}
        insert_if_absent(session, ChoiceRow, values)
    insert_if_absent(session, ArchitectureRow, {"hash": architecture.hash, "json": architecture.to_json()})
    row = session.execute(
        insert(Trial)
        .values(
            study_id=study.id,
            hash=architecture.hash,
            key=study.key(architecture.hash),
            assignment=json.dumps(dict(assignment), separators=(",", ":")),
            published=published,
            parameters=cost.parameters,
            macs=cost.macs,
            activation_bytes=cost.activation_bytes,
            state=RUNNING,
            epochs=0,
            started_at=utc_now(),
        )
        .returning(Trial.id)
    ).scalar_one()
    by_name.write(session, row, cost.others)
    if outline:
        outlines.record(session, row, outline)
    return row


def running(session: Session, study: StudyRow, digest: str) -> int | None:
    """The row of the running trial of this network, if there is one; a study never trains a network twice at once."""
    return session.scalar(
        select(Trial.id).where(Trial.study_id == study.id, Trial.state == RUNNING, Trial.hash == digest).limit(1)
    )


def number_of(session: Session, row: int) -> int | None:
    """The number of a trial that has finished, None while it runs."""
    return session.scalar(select(Trial.number).where(Trial.id == row))


def write_epochs(session: Session, curves: Mapping[int, Sequence[Mapping[str, object]]]) -> None:
    """Adds points to the learning curves of trials, by their rows, replacing those with the same number."""
    # By number: of two points with one number the later one counts.
    points = {(row, epoch["epoch"]): epoch for row, epochs in curves.items() for epoch in epochs}
    if points:
        connection = session.connection()
        connection.execute(_DELETE_EPOCH, [{"row": row, "number": number} for row, number in points])
        connection.execute(_EPOCHS.insert(), [_epoch_row(row, epoch) for (row, _), epoch in points.items()])
        others = {key: epoch.get("others") or {} for key, epoch in points.items()}
        by_name.write_epochs(session, others)  # type: ignore[arg-type]


def finish(
    session: Session,
    study: StudyRow,
    known: Known,
    row: int,
    state: str,
    result: TrialResult,
    source: int | None = None,
) -> tuple[int, bool]:
    """Ends a running trial. Returns its number, and whether Optuna's row could be written beside it.

    `source` is the row of the trial that was trained, where it was another one. Raises ValueError when the trial is not
    running in this study, the state is unknown, or a complete trial has no finite value of what had to be learned.
    """
    if state not in FINISHED:
        raise ValueError(f"a trial ends in one of {', '.join(FINISHED)}, not in '{state}'")
    for name in learned(study.objectives):
        if state == COMPLETE and finite(result.values.get(name)) is None:
            raise ValueError(f"a complete trial has a finite {name}, not {result.values.get(name)}")
    number = next_number(session, study)
    ended = (
        session.execute(
            update(Trial)
            .where(Trial.id == row, Trial.study_id == study.id, Trial.state == RUNNING)
            .values(
                number=number,
                state=state,
                source=source,
                epochs=_epoch_count(row if source is None else source),
                finished_at=utc_now(),
                environment=_environment(session, result.environment),
                **_known(result),
            )
            .returning(*Trial.__table__.columns)
            .execution_options(synchronize_session=False)
        )
        .mappings()
        .one_or_none()
    )
    if ended is None:
        raise ValueError(f"study '{study.name}': the trial of row {row} is not running")
    by_name.write(session, row, result.values)
    optuna_study = optuna_projection.study_id(session, study.name)
    if optuna_study is None:
        return number, False
    outline = _stored_outline(known, outlines.of_trial(session, row)) if known.outline else None
    trial = Finished.from_row({**ended, **by_name.of_trial(session, row)}, study.objectives, outline)
    optuna_projection.add(session, optuna_study, [trial], known.params)
    return number, True


def _known(result: TrialResult) -> dict[str, object]:
    """What `nas_trials` has columns for."""
    values = {name: finite(result.values.get(name)) for name in by_name.EPOCH_COLUMNS}
    return {**values, "reason": result.reason, "seconds": finite(result.seconds), "device": result.device}


def _environment(session: Session, environment: Mapping[str, object]) -> str:
    """The key of its row, which is made where it is not there."""
    text = dump(environment)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    insert_if_absent(session, EnvironmentRow, {"hash": digest, "json": text})
    return digest


def take_over(session: Session, study: StudyRow, known: Known, row: int, past: PastResult) -> tuple[int, bool]:
    """Ends a trial that never ran with the result of another one. Returns as `finish` does.

    The learning curve stays where it is: `source` refers to it.
    """
    environment = session.scalar(select(EnvironmentRow.json).where(EnvironmentRow.hash == past.environment))
    names = (*by_name.EPOCH_COLUMNS, *learned(OBJECTIVES))
    result = TrialResult(
        reason=f"the result of trial {past.number} of study '{past.study}'",
        values={name: value for name, value in past.values.items() if name in names},
        seconds=0.0,
        device=past.device,
        environment=damaged.mapping(environment or "{}", "environment"),
    )
    return finish(session, study, known, row, past.state, result, source=past.row)


def pause(session: Session, row: int, result: TrialResult) -> None:
    """A running trial runs no more, and has not ended: the next process goes on with it."""
    known = _known(result)
    if result.environment:
        known["environment"] = _environment(session, result.environment)
    session.execute(
        update(Trial)
        .where(Trial.id == row, Trial.state == RUNNING)
        .values(state=PAUSED, epochs=_epoch_count(row), **known)
        .execution_options(synchronize_session=False)
    )
    by_name.write(session, row, result.values)


def resume(session: Session, row: int) -> None:
    """A paused trial runs again."""
    session.execute(update(Trial).where(Trial.id == row, Trial.state == PAUSED).values(state=RUNNING, reason=None))


def leave_running(session: Session, study: StudyRow, reason: str, resumable: Callable[[int], bool] | None) -> int:
    """Nobody runs the study any more: what was running and is `resumable`, by its row, is paused; the rest is interrupted.

    So is what is paused and not resumable any more; None says nothing of those. Returns how many were interrupted.
    """
    states = (RUNNING,) if resumable is None else (RUNNING, PAUSED)
    rows = session.execute(select(Trial.id, Trial.state).where(Trial.study_id == study.id, Trial.state.in_(states)))
    lost = []
    for row, state in rows.all():
        if resumable is None or not resumable(row):
            lost.append(row)
        elif state == RUNNING:
            pause(session, row, TrialResult(reason))
    return _interrupt(session, study, sorted(lost), reason)


def _interrupt(session: Session, study: StudyRow, ids: Sequence[int], reason: str) -> int:
    """Ends these trials as interrupted. Returns how many."""
    first = next_number(session, study) if ids else 0
    for number, row in enumerate(ids, first):
        session.execute(
            update(Trial)
            .where(Trial.id == row)
            .values(
                number=number,
                state=INTERRUPTED,
                reason=reason,
                epochs=_epoch_count(row),
                finished_at=utc_now(),
            )
            .execution_options(synchronize_session=False)
        )
    return len(ids)


def project_missing(session: Session, study: StudyRow, optuna_study: int) -> int:
    """Gives Optuna every finished trial that it lacks. Returns how many.

    When what Optuna has is not the beginning of what we have (someone edited its tables), its trials are written anew.
    """
    ours = [
        (number, digest)
        for number, digest in session.execute(
            select(Trial.number, Trial.hash)
            .where(Trial.study_id == study.id, Trial.number.is_not(None))
            .order_by(Trial.number)
        )
    ]
    theirs = optuna_projection.hashes(session, optuna_study)
    if theirs != ours[: len(theirs)]:
        optuna_projection.clear(session, optuna_study)
        theirs = []
    if len(theirs) == len(ours):
        return 0
    rows = session.execute(
        select(*Trial.__table__.columns)
        .where(Trial.study_id == study.id, Trial.number >= len(theirs))
        .order_by(Trial.number)
    ).mappings()
    others = by_name.of_trials(session.connection(), study.id)
    known = Known(choices(session, study), outline_of(session, study))
    drawn = outlines.of_study(session, study.id, len(theirs)) if known.outline else {}
    trials = [
        Finished.from_row(
            {**row, **{name: of[row["id"]] for name, of in others.items() if row["id"] in of}},
            study.objectives,
            _stored_outline(known, drawn.get(row["number"], {})) if known.outline else None,
        )
        for row in rows
    ]
    optuna_projection.add(session, optuna_study, trials, known.params)
    return len(trials)


def _stored_outline(known: Known, outline: dict[str, Scalar]) -> dict[str, Scalar]:
    """The outline of a trial as it was read. Raises Damaged where it has what no network of the study has."""
    for name, value in outline.items():
        try:
            known.outline[name].internal(value)
        except (KeyError, ValueError):
            raise damaged.Damaged(f"outline of a network: {name} is {value!r}") from None
    return outline


def next_number(session: Session, study: StudyRow) -> int:
    """The number of the next trial that finishes."""
    last = session.execute(select(func.max(Trial.number)).where(Trial.study_id == study.id)).scalar_one()
    if last is not None and not isinstance(last, int):
        raise damaged.Damaged(f"the last number of a trial is {last!r}")
    return 0 if last is None else last + 1


def _epoch_count(row: int) -> object:
    return select(func.coalesce(func.max(EpochRow.epoch), 0)).where(EpochRow.trial_id == row).scalar_subquery()


def _epoch_row(row: int, epoch: Mapping[str, object]) -> dict[str, object]:
    values = {name: finite(_number(epoch.get(name))) for name in EPOCH_VALUES}
    number = epoch["epoch"]
    if type(number) is not int:
        raise ValueError(f"an epoch has a whole number, not {number!r}")
    return {"trial_id": row, "epoch": number, **values}


def _number(value: object) -> float | None:
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError(f"a learning curve holds numbers, not {value!r}")


def insert_if_absent(session: Session, table: type[Base], row: Mapping[str, object]) -> None:
    """Adds the row unless its primary key is there already."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(postgresql.insert(table).values(**row).on_conflict_do_nothing())
    else:
        session.execute(sqlite.insert(table).values(**row).on_conflict_do_nothing())
