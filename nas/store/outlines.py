"""The outlines of the networks of a study, of which Optuna's parameters are a projection.

A study that was begun without them has its choices by path as Optuna's parameters, in all of its trials. A trial that a nas
without outlines adds to a study with them has no outline, and no parameters in Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Table, insert, inspect, select
from sqlalchemy.orm import Session

from blocks.base import Scalar
from nas.space.outline import Parameter
from nas.store import damaged
from nas.store.schema import OutlineParameterRow, OutlineRow, Trial, dump_options

_HIGHEST: Final = 1 << 31
"""Above every number of layers, channels or blocks."""


def define(session: Session, study: int, parameters: Mapping[str, Parameter]) -> None:
    """Says what the outlines of a new study have; the tables are made in a database that has none yet."""
    for row in (OutlineParameterRow, OutlineRow):
        table = row.__table__
        assert isinstance(table, Table)
        table.create(session.connection(), checkfirst=True)
    for place, (name, parameter) in enumerate(parameters.items()):
        options = dump_options(parameter.options) if parameter.options else json.dumps(_range(parameter))
        session.execute(insert(OutlineParameterRow).values(study_id=study, name=name, place=place, options=options))


def _range(parameter: Parameter) -> dict[str, int | bool]:
    return {"low": parameter.low, "high": parameter.high, "log": parameter.log}


def parameters(session: Session, study: int) -> dict[str, Parameter]:
    """What the outlines of a study have, by name and in order; nothing of a study that was begun without."""
    if not inspect(session.connection()).has_table(OutlineParameterRow.__tablename__):
        return {}
    rows = session.scalars(
        select(OutlineParameterRow).where(OutlineParameterRow.study_id == study).order_by(OutlineParameterRow.place)
    )
    return {row.name: _parameter(row.options) for row in rows}


def _parameter(text: str) -> Parameter:
    if isinstance(text, str) and text.startswith("["):
        options = tuple(damaged.sequence(text, "options"))
        if options and all(isinstance(option, str | int | float) for option in options):
            return Parameter(options)
        raise damaged.Damaged(f"options of a parameter: {text}")
    match damaged.mapping(text, "options"):
        case {"low": int(low), "high": int(high), "log": bool(log)} if log <= low <= high <= _HIGHEST:
            return Parameter(low=low, high=high, log=log)
    raise damaged.Damaged(f"options of a parameter: {text}")


def record(session: Session, trial: int, outline: Mapping[str, Scalar]) -> None:
    """Adds the outline of the network of a trial, by its row."""
    session.execute(insert(OutlineRow).values(trial_id=trial, values=json.dumps(dict(outline), separators=(",", ":"))))


def of_trial(session: Session, trial: int) -> dict[str, Scalar]:
    """The outline of the network of a trial, by its row; empty where it has none."""
    text = session.scalar(select(OutlineRow.values).where(OutlineRow.trial_id == trial))
    return {} if text is None else damaged.assignment(text)


def of_study(session: Session, study: int, since: int = 0) -> dict[int, dict[str, Scalar]]:
    """The outlines of finished trials from number `since` on, by the number."""
    rows = session.execute(
        select(Trial.number, OutlineRow.values)
        .join(Trial, Trial.id == OutlineRow.trial_id)
        .where(Trial.study_id == study, Trial.number >= since)
    )
    return {number: damaged.assignment(text) for number, text in rows if number is not None}
