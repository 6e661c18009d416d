"""One finished trial as the dashboard's page reads it, from our row of it.

The form is that of `optuna_dashboard._serializer.serialize_frozen_trial`; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from blocks.base import Scalar
from nas.dashboard.upstream import serialize_search_space
from nas.space.outline import Parameter
from nas.states import COMPLETE
from nas.store.optuna_projection import attribute_names, optuna_state


class Parameters:
    """The parameters of a study as Optuna has them, and the JSON of each value taken, made once."""

    def __init__(self) -> None:
        self._known: dict[str, Parameter] = {}
        self._json: dict[tuple[str, type, Scalar], bytes] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def meet(self, parameters: Mapping[str, Parameter]) -> None:
        """Adds those that are new."""
        for name, parameter in parameters.items():
            self._known.setdefault(name, parameter)

    def json(self, params: Mapping[str, Scalar]) -> bytes:
        """The values of a trial as a JSON list."""
        return b"[" + b",".join([self._value(name, value) for name, value in params.items()]) + b"]"

    def _value(self, name: str, value: Scalar) -> bytes:
        key = (name, type(value), value)  # a dict cannot tell 1 from True and from 1.0
        if key not in self._json:
            parameter = self._known[name]
            self._json[key] = json.dumps(
                {
                    "name": name,
                    "param_internal_value": _place(parameter.options, value) if parameter.options else value,
                    "param_external_value": str(value),
                    "param_external_pytyp": str(type(value)),
                    "distribution": serialize_search_space(self.space({name}))[0]["distribution"],
                }
            ).encode()
        return self._json[key]

    def space(self, names: set[str]) -> list[tuple[str, BaseDistribution]]:
        """Optuna's distributions of these parameters."""
        return [(name, _distribution(self._known[name])) for name in sorted(names)]


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.options:
        return CategoricalDistribution(parameter.options)
    return IntDistribution(parameter.low, parameter.high, log=parameter.log)


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna has as user attributes, of a row of `Store.trials`; its choices, which would fill a table, are in the note."""
    import pandas as pd

    return {name: row[name] for name in attribute_names() if name in row and not pd.isna(row[name])}


def trial_json(
    row: Mapping[str, Any],
    *,
    optuna_study: int,
    optuna_trial: int,
    objectives: Sequence[str],
    curve: Sequence[tuple[int, float]],
    note: str,
    params: bytes,
) -> bytes:
    """The JSON of a row of `Store.trials`. `curve` has (epoch, accuracy)."""
    data = {
        "trial_id": optuna_trial,
        "study_id": optuna_study,
        "number": row["trial"],
        "state": optuna_state(row["state"]).capitalize(),
        "fixed_params": [],
        "user_attrs": [{"key": key, "value": str(value)} for key, value in attributes(row).items()],
        "note": {"version": 0, "body": note},
        "artifacts": [],
        "constraints": [],
        "intermediate_values": [{"step": epoch, "value": accuracy} for epoch, accuracy in curve],
        "datetime_start": row["started_at"].isoformat(),
        "datetime_complete": row["finished_at"].isoformat(),
    }
    if row["state"] == COMPLETE:
        data["values"] = [float(row[name]) for name in objectives]
    return json.dumps(data)[:-1].encode() + b', "params": ' + params + b"}"


def _place(options: Sequence[Scalar], value: Scalar) -> int:
    # `tuple.index` cannot tell 1 from True and from 1.0.
    return next(n for n, option in enumerate(options) if type(option) is type(value) and option == value)
