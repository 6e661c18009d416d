"""Optuna's rows, written from ours, so that Optuna Dashboard and `optuna.load_study` see a study.

Optuna's `Study.add_trial` looks up each parameter of a trial on its own: 53 ms for a trial with 80 parameters (SQLite,
Optuna 5.0), a commit apart from ours. Here the rows of a trial are written whole, in the transaction that finishes our
trial, so that no kill can come between the two. The tables are Optuna's storage format, which it keeps behind
migrations: one of another revision than the installed Optuna's is refused at opening, and a test compares what Optuna
reads back with what it would have written itself.
"""

from __future__ import annotations

import datetime
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import (
    DateTime,
    Enum,
    Float,
    Integer,
    Text,
    bindparam,
    column,
    delete,
    insert,
    select,
    table,
    update,
)
from sqlalchemy.orm import Session

from blocks.base import Scalar
from nas.objectives import OBJECTIVES, before_training
from nas.space.outline import Parameter
from nas.states import COMPLETE, STOPPED_EARLY
from nas.store import damaged

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_STATE = Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate")
_VALUE_TYPE = Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype")

_STUDIES = table("studies", column("study_id", Integer), column("study_name", Text))
_TRIALS = table(
    "trials",
    column("trial_id", Integer),
    column("number", Integer),
    column("study_id", Integer),
    column("state", _STATE),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
)
_PARAMS = table(
    "trial_params",
    column("trial_id", Integer),
    column("param_name", Text),
    column("param_value", Float),
    column("distribution_json", Text),
)
_VALUES = table(
    "trial_values",
    column("trial_id", Integer),
    column("objective", Integer),
    column("value", Float),
    column("value_type", _VALUE_TYPE),
)
_ATTRIBUTES = table(
    "trial_user_attributes",
    column("trial_id", Integer),
    column("key", Text),
    column("value_json", Text),
)
_OTHERS: Final = tuple(
    table(name, column("trial_id", Integer))
    for name in ("trial_system_attributes", "trial_intermediate_values", "trial_heartbeats")
)
_OPTUNA_STATE: Final = {COMPLETE: "COMPLETE", STOPPED_EARLY: "PRUNED"}  # every other state: FAIL


def attribute_names() -> tuple[str, ...]:
    """What Optuna has of a trial as user attributes, as far as a trial has it; beside them stands `CHOICES`."""
    return ("hash", *before_training(), "state", "reason", "seconds", "device", "published", "key")


CHOICES: Final = "choices"
"""User attribute with the assignment of a trial, where it is not among the parameters."""


@dataclass(frozen=True)
class Choice:
    """The options of one choice, and what Optuna calls them."""

    options: tuple[Scalar, ...]
    distribution: str

    @classmethod
    def of(cls, options: Sequence[Scalar]) -> Choice:
        """A categorical choice, whatever the options are."""
        from optuna.distributions import CategoricalDistribution, distribution_to_json

        return cls(tuple(options), distribution_to_json(CategoricalDistribution(tuple(options))))

    def index(self, value: Scalar) -> int:
        """Where `value` stands. Unlike `tuple.index`, tells 1 from True and from 1.0. Raises ValueError."""
        for place, option in enumerate(self.options):
            if type(option) is type(value) and option == value:
                return place
        raise ValueError(f"{value!r} is none of the options {list(self.options)}")

    def internal(self, value: Scalar) -> float:
        """What Optuna stores for `value`. Raises ValueError."""
        return float(self.index(value))


@dataclass(frozen=True)
class WholeNumber:
    """A parameter that is a whole number, and what Optuna calls it."""

    low: int
    high: int
    distribution: str

    @classmethod
    def of(cls, parameter: Parameter) -> WholeNumber:
        """A parameter of an outline that has no options."""
        from optuna.distributions import IntDistribution, distribution_to_json

        known = IntDistribution(parameter.low, parameter.high, log=parameter.log)
        return cls(parameter.low, parameter.high, distribution_to_json(known))

    def internal(self, value: Scalar) -> float:
        """What Optuna stores for `value`. Raises ValueError."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is no whole number from {self.low} to {self.high}")
        return float(value)


Distribution: TypeAlias = Choice | WholeNumber


def distribution(parameter: Parameter) -> Distribution:
    """What Optuna calls a parameter of an outline."""
    return Choice.of(parameter.options) if parameter.options else WholeNumber.of(parameter)


@dataclass(frozen=True)
class Finished:
    """What Optuna is told about one finished trial."""

    number: int
    state: str
    params: Mapping[str, Scalar]
    """The outline of its network; its choices by path in a study that was begun without outlines."""
    values: tuple[float, ...] | None
    """One per objective; None unless the state is complete."""
    attributes: Mapping[str, object]
    started_at: datetime.datetime
    finished_at: datetime.datetime

    @classmethod
    def from_row(
        cls, row: Mapping[str, object], objectives: Sequence[str], outline: Mapping[str, Scalar] | None
    ) -> Finished:
        """From the columns of one row of `nas_trials`, and other values by the names of objectives.

        `outline` is that of its network; None in a study without outlines.
        """
        state = str(row["state"])
        values = tuple(_number(row, name) for name in objectives) if state == COMPLETE else None
        number, started_at, finished_at = row["number"], row["started_at"], row["finished_at"]
        if not isinstance(number, int):
            raise damaged.Damaged(f"the number of a trial is {number!r}")
        if not isinstance(started_at, datetime.datetime) or not isinstance(finished_at, datetime.datetime):
            raise damaged.Damaged(f"trial {number} ran from {started_at!r} to {finished_at!r}")
        assignment = damaged.assignment(row["assignment"])
        attributes = {name: row[name] for name in attribute_names() if row.get(name) is not None}
        return cls(
            number,
            state,
            assignment if outline is None else outline,
            values,
            attributes if outline is None else {**attributes, CHOICES: assignment},
            started_at,
            finished_at,
        )


def _number(row: Mapping[str, object], name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float):
        raise damaged.Damaged(f"{name} of a complete trial is {value!r}")
    return float(value)


def optuna_state(state: str) -> str:
    """What Optuna calls a state of ours. All but complete ones are without values, so never among the best."""
    return _OPTUNA_STATE.get(state, "FAIL")


def create_tables(session: Session) -> None:
    """Makes Optuna's tables, unless they are there.

    Optuna makes each table and each index for itself in SQLite. One killed between a table and its index would leave
    a database in which several studies may have one name.
    """
    from optuna.storages._rdb.models import BaseModel

    BaseModel.metadata.create_all(session.connection())


def create_study(storage: RDBStorage, name: str, objectives: Sequence[str]) -> None:
    """Makes Optuna's study `name`, unless it is there."""
    import optuna

    with _quiet():
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[OBJECTIVES[objective].direction for objective in objectives],
            load_if_exists=True,
        )
        study.set_metric_names(list(objectives))


def rename_study(session: Session, name: str, new: str) -> None:
    """Gives Optuna's study another name."""
    session.execute(update(_STUDIES).where(_STUDIES.c.study_name == name).values(study_name=new))


def delete_study(storage: RDBStorage, name: str) -> None:
    """Removes Optuna's study, unless it is gone."""
    import optuna

    with _quiet(), suppress(KeyError):
        optuna.delete_study(study_name=name, storage=storage)


def study_id(session: Session, name: str) -> int | None:
    """Optuna's number of the study, or None when Optuna has none of that name."""
    return session.execute(select(_STUDIES.c.study_id).where(_STUDIES.c.study_name == name)).scalar_one_or_none()


def hashes(session: Session, study: int) -> list[tuple[int, str | None]]:
    """Number and hash of each trial that Optuna has, in the order in which it lists them."""
    attribute = _ATTRIBUTES.alias()
    rows = session.execute(
        select(_TRIALS.c.number, attribute.c.value_json)
        .outerjoin_from(_TRIALS, attribute, (attribute.c.trial_id == _TRIALS.c.trial_id) & (attribute.c.key == "hash"))
        .where(_TRIALS.c.study_id == study)
        .order_by(_TRIALS.c.trial_id)
    )
    return [(number, None if text is None else text.strip('"')) for number, text in rows]  # a hash needs no JSON parser


def optuna_ids(session: Session, study: int, since: int = 0) -> dict[int, int]:
    """Optuna's id of each trial from number `since` on, by its number."""
    rows = session.execute(
        select(_TRIALS.c.number, _TRIALS.c.trial_id).where(_TRIALS.c.study_id == study, _TRIALS.c.number >= since)
    )
    return {row.number: row.trial_id for row in rows}


def change_costs(
    session: Session, name: str, costs: Mapping[int, Mapping[str, float]], objectives: Sequence[str]
) -> None:
    """Gives trials other costs, by their numbers, among their values and attributes; nothing else of them changes."""
    study = study_id(session, name)
    ids = {} if study is None else optuna_ids(session, study)
    known = {number: changed for number, changed in costs.items() if number in ids}
    values = [
        {"id": ids[number], "place": place, "new": float(changed[objective])}
        for number, changed in known.items()
        for place, objective in enumerate(objectives)
        if objective in changed
    ]
    attributes = [
        {"id": ids[number], "name": name, "new": json.dumps(value)}
        for number, changed in known.items()
        for name, value in changed.items()
    ]
    if values:
        here = (_VALUES.c.trial_id == bindparam("id")) & (_VALUES.c.objective == bindparam("place"))
        session.execute(update(_VALUES).where(here).values(value=bindparam("new")), values)
    if attributes:
        here = (_ATTRIBUTES.c.trial_id == bindparam("id")) & (_ATTRIBUTES.c.key == bindparam("name"))
        session.execute(update(_ATTRIBUTES).where(here).values(value_json=bindparam("new")), attributes)


def clear(session: Session, study: int) -> None:
    """Removes every trial of Optuna's study."""
    ids = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study)
    for child in (_PARAMS, _VALUES, _ATTRIBUTES, *_OTHERS):
        session.execute(delete(child).where(child.c.trial_id.in_(ids)))
    session.execute(delete(_TRIALS).where(_TRIALS.c.study_id == study))


def add(session: Session, study: int, trials: Sequence[Finished], distributions: Mapping[str, Distribution]) -> None:
    """Writes `trials`, in their order, as Optuna's `Study.add_trial` would.

    `distributions` are those of their parameters, the same in every trial of a study.
    """
    ids: dict[int, int] = {}
    for trial in trials:  # one by one: Optuna lists trials by their id, and that must be the order of their numbers
        ids[trial.number] = session.execute(
            insert(_TRIALS)
            .values(
                number=trial.number,
                study_id=study,
                state=optuna_state(trial.state),
                datetime_start=trial.started_at,
                datetime_complete=trial.finished_at,
            )
            .returning(_TRIALS.c.trial_id)
        ).scalar_one()
    params = [
        {
            "trial_id": ids[trial.number],
            "param_name": name,
            "param_value": distributions[name].internal(value),
            "distribution_json": distributions[name].distribution,
        }
        for trial in trials
        for name, value in trial.params.items()
    ]
    values = [
        {"trial_id": ids[trial.number], "objective": place, "value": value, "value_type": "FINITE"}
        for trial in trials
        for place, value in enumerate(trial.values or ())
    ]
    attributes = [
        {"trial_id": ids[trial.number], "key": name, "value_json": json.dumps(value)}
        for trial in trials
        for name, value in trial.attributes.items()
    ]
    for target, rows in ((_PARAMS, params), (_VALUES, values), (_ATTRIBUTES, attributes)):
        if rows:
            session.execute(insert(target), rows)


@contextmanager
def _quiet() -> Iterator[None]:
    # Naming the metrics is marked as experimental, and making a study is logged to standard error.
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
