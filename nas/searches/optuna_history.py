"""What a continued study knows already, as Optuna's samplers want it.

`Study.add_trial` checks and copies every parameter of every trial: 2 ms for one with 40 choices, so that a study with 100,000
trials would begin after minutes. What the study database holds was checked when it was written.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from blocks.base import Scalar
from nas.errors import AssignmentError
from nas.objectives import OBJECTIVES, learned
from nas.space.grammar import Options
from nas.space.space import Assignment, Space
from nas.states import PAUSED

if TYPE_CHECKING:
    import pandas as pd

_MOMENT = datetime.datetime(1970, 1, 1)  # no sampler asks when


def rows(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """What `Past` and `Proposer` need of a frame of trials."""
    names = ("trial", "hash", "state", *OBJECTIVES, "epochs", "assignment")
    known = [name for name in names if name in trials.columns]
    values = zip(*(trials[name].tolist() for name in known), strict=True)
    return [dict(zip(known, row, strict=True)) for row in values]


class PastTrial(FrozenTrial):
    """A finished trial. Nobody changes it, so a copy is the trial itself."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Past:
    """Makes Optuna's trials of rows of a study: dicts with the names of `nas.store.frames.trials`."""

    def __init__(self, space: Space, objectives: Sequence[str], epochs: int | None) -> None:
        """`epochs` of a full training say what a trial that was stopped early is worth; without it, nothing."""
        self._space, self._objectives, self._epochs = space, tuple(objectives), epochs
        self._choices: dict[str, BaseDistribution] = {}

    def trial(self, row: Mapping[str, Any]) -> FrozenTrial:
        """Raises AssignmentError for choices that the space does not have, or has more of than the first such row."""
        assignment: Assignment = row["assignment"]
        if not self._choices.keys() >= assignment.keys():
            self._meet(row)
        complete = row["state"] == "complete"
        return PastTrial(
            number=-1,  # the storage gives it
            trial_id=-1,
            state=TrialState.COMPLETE if complete else TrialState.FAIL,
            value=None,
            values=[float(row[name]) for name in self._objectives] if complete else None,
            datetime_start=_MOMENT,
            datetime_complete=_MOMENT,
            params=dict(assignment),
            distributions={name: self._choices[name] for name in assignment},
            user_attrs=self._partial(row),
            system_attrs={},
            intermediate_values={},
        )

    def _meet(self, row: Mapping[str, Any]) -> None:
        """Learns the options of choices that no trial before had; they are the same in all trials of a study."""
        assignment: Assignment = row["assignment"]

        def choose(name: str, options: Options) -> Scalar:
            if name not in assignment:
                raise AssignmentError(f"trial {row['trial']} of the study lacks the choice '{name}'")
            self._choices.setdefault(name, CategoricalDistribution(tuple(options)))
            value: Scalar = assignment[name]
            return value

        self._space.walk(choose)
        strange = sorted(assignment.keys() - self._choices.keys())
        if strange:
            raise AssignmentError(
                f"trial {row['trial']} of the study has the choice '{strange[0]}', which the space lacks"
            )

    def _partial(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if row["state"] not in ("stopped_early", PAUSED) or self._epochs is None or not row["epochs"]:
            return {}
        value = float(row[learned(self._objectives)[0]])
        return partial(value, row["epochs"] / self._epochs) if value == value else {}


def partial(value: float, fidelity: float) -> dict[str, Any]:
    """What a trial that was stopped early says, as a user attribute."""
    from nas.sampler.history import PARTIAL  # SciPy takes half a second

    return {PARTIAL: {"value": value, "share": fidelity}}
