"""One finished trial as the dashboard's page reads it, from our row of it.

The form is that of `optuna_dashboard._serializer.serialize_frozen_trial`; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution

from blocks.base import Scalar
from nas.dashboard.upstream import serialize_search_space
from nas.states import COMPLETE
from nas.store.optuna_projection import attribute_names, optuna_state


class Options:
    """The choices of a study with their options, and the JSON of each option taken, made once."""

    def __init__(self) -> None:
        self._options: dict[str, tuple[Scalar, ...]] = {}
        self._json: dict[str, list[bytes]] = {}

    def __iter__(self) -> Any:
        return iter(self._options)

    def meet(self, choices: Mapping[str, tuple[Scalar, ...]]) -> None:
        """Adds those that are new."""
        for name, options in choices.items():
            if name in self._options:
                continue
            self._options[name] = options
            space = serialize_search_space([(name, CategoricalDistribution(options))])
            self._json[name] = [
                json.dumps(
                    {
                        "name": name,
                        "param_internal_value": place,
                        "param_external_value": str(option),
                        "param_external_pytyp": str(type(option)),
                        "distribution": space[0]["distribution"],
                    }
                ).encode()
                for place, option in enumerate(options)
            ]

    def params(self, assignment: Mapping[str, Scalar]) -> bytes:
        """An assignment as a JSON list."""
        taken = (self._json[name][_place(self._options[name], value)] for name, value in assignment.items())
        return b"[" + b",".join(taken) + b"]"

    def space(self, names: set[str]) -> list[tuple[str, CategoricalDistribution]]:
        """Optuna's distributions of these choices."""
        return [(name, CategoricalDistribution(self._options[name])) for name in sorted(names)]


def attributes(row: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna has as user attributes, of a row of `Store.trials`."""
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
