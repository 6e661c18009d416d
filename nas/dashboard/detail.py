"""What the dashboard's page reads about a study, made from our tables and kept between requests.

Optuna Dashboard builds it from all of Optuna's trials at each request (7.5 s for 2,000 trials with 92 choices, and the
time of its notes grows with the square of their number). A finished trial never changes, so here its JSON is written
once. The form is that of `optuna_dashboard._serializer`; a test compares the two.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from optuna.distributions import CategoricalDistribution
from optuna_dashboard._note import get_note_from_system_attrs, note_ver_key
from optuna_dashboard._serializer import serialize_search_space, serialize_study_detail
from optuna_dashboard._storage import get_study

from blocks.base import Scalar
from nas.dashboard.notes import study_note, trial_note
from nas.front import pareto
from nas.report.analysis.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import Store

STATES: Final = {"complete": "Complete", "stopped_early": "Pruned"}
"""Every other state of ours is Optuna's Fail, so only complete trials can be among the best."""
NAMES: Final = {
    "accuracy": "validation accuracy (0 to 1)",
    "parameters": "parameters",
    "macs": "MACs for one image",
    "activation_bytes": "peak activations for one image (bytes)",
    "latency": "latency of one image (ms)",
}
ATTRIBUTES: Final = (
    "activation_bytes",
    "device",
    "hash",
    "key",
    "macs",
    "parameters",
    "published",
    "reason",
    "seconds",
    "state",
)


class StudyDetail:
    """The JSON of one study. Any number of threads may ask for it."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.study = store.study(name)
        self._lock = threading.Lock()
        self._optuna_id: int | None = None
        self._clear()

    def _clear(self) -> None:
        self._trials: list[bytes] = []
        self._frames: list[pd.DataFrame] = []
        self._params: dict[str, list[bytes]] = {}
        self._choices: dict[str, tuple[Scalar, ...]] = {}
        self._everywhere: set[str] | None = None
        self._numeric: dict[str, bool] = {}
        self._learned = False
        self._ids: dict[int, int] = {}

    @property
    def trials(self) -> pd.DataFrame:
        """Every trial read so far, as `Store.trials`."""
        import pandas as pd

        with self._lock:
            if len(self._frames) > 1:
                self._frames = [pd.concat(self._frames, ignore_index=True)]
            return self._frames[0] if self._frames else self._store.trials(self.study.name)

    def answer(self, after: int) -> bytes:
        """The JSON of the study, with the trials from place `after` on. Raises StorageError."""
        self.refresh()
        trials = self.trials
        front = set(pareto(trials, self.study.objectives)["trial"]) if len(trials) else set()
        with self._lock:
            storage = self._store.optuna_storage()
            optuna_id = self._optuna_id
            assert optuna_id is not None
            frozen = get_study(storage, optuna_id)
            head: dict[str, Any] = serialize_study_detail(
                frozen,
                [],
                [],
                self._space(self._everywhere or set()),
                self._space(set(self._choices)),
                [],
                False,
                {},
                [],
            )
            head["union_user_attrs"] = [{"key": key, "sortable": number} for key, number in self._numeric.items()]
            head["has_intermediate_values"] = self._learned
            head["objective_names"] = [NAMES.get(name, name) for name in self.study.objectives]
            attributes = frozen.system_attrs
            if note_ver_key(None) not in attributes:
                head["note"] = {"version": 0, "body": study_note(self._evidence(trials), self._store, optuna_id)}
            written = self._with_own_notes(attributes)
            best = [written[number] for number in range(len(written)) if number in front]
            del head["trials"], head["best_trials"]
            start = json.dumps(head)[:-1].encode()
            return b"".join(
                (start, b', "trials": [', b",".join(written[after:]), b'], "best_trials": [', b",".join(best), b"]}")
            )

    def refresh(self) -> int:
        """Reads the trials that are new, and returns how many there are in all. Raises StorageError."""
        with self._lock:
            name, since = self.study.name, len(self._trials)
            optuna_id, ids = self._store.optuna_ids(name, since=since)
            if optuna_id != self._optuna_id:  # the first time, or Optuna's copy was deleted and written anew
                self._clear()
                self._optuna_id = optuna_id
                since = 0
                ids = self._store.optuna_ids(name)[1]
            new = self._store.trials(name, since=since)
            new = new[new["trial"].isin(ids)]
            if new.empty:
                return since
            self._ids |= ids
            self._meet(self._store.choices(name))
            curves = _curves(self._store.epochs(name, since=since))
            for row in new.to_dict("records"):
                curve = curves.get(row["trial"], [])
                self._trials.append(self._trial(row, curve))
            self._frames.append(new)
            return len(self._trials)

    def _meet(self, choices: Mapping[str, tuple[Scalar, ...]]) -> None:
        for name, options in choices.items():
            if name in self._choices:
                continue
            self._choices[name] = options
            space = serialize_search_space([(name, CategoricalDistribution(options))])
            self._params[name] = [
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

    def _trial(self, row: Mapping[str, Any], curve: Sequence[tuple[int, float]]) -> bytes:
        study, assignment = self.study, row["assignment"]
        attributes = {key: row[key] for key in ATTRIBUTES if row[key] == row[key] and row[key] is not None}
        attributes = {key: value for key, value in attributes.items() if str(value) != "<NA>"}
        if row["state"] in STATES:
            names = set(assignment)
            self._everywhere = names if self._everywhere is None else self._everywhere & names
            self._learned |= bool(curve)
        for key, value in attributes.items():
            number = not isinstance(value, str)
            self._numeric[key] = self._numeric.get(key, True) and number
        data = {
            "trial_id": self._ids[row["trial"]],
            "study_id": self._optuna_id,
            "number": row["trial"],
            "state": STATES.get(row["state"], "Fail"),
            "fixed_params": [],
            "user_attrs": [{"key": key, "value": str(value)} for key, value in attributes.items()],
            "note": {"version": 0, "body": trial_note(study, row, self._store.shown_url, bool(curve))},
            "artifacts": [],
            "constraints": [],
            "intermediate_values": [{"step": epoch, "value": accuracy} for epoch, accuracy in curve],
            "datetime_start": row["started_at"].isoformat(),
            "datetime_complete": row["finished_at"].isoformat(),
        }
        if row["state"] == "complete":
            data["values"] = [float(row[name]) for name in study.objectives]
        params = b",".join(self._params[name][_place(self._choices[name], value)] for name, value in assignment.items())
        return json.dumps(data)[:-1].encode() + b', "params": [' + params + b"]}"

    def _space(self, names: set[str]) -> list[tuple[str, CategoricalDistribution]]:
        return [(name, CategoricalDistribution(self._choices[name])) for name in sorted(names)]

    def _with_own_notes(self, attributes: Mapping[str, Any]) -> list[bytes]:
        """The trials; what a user has written in the dashboard stands instead of our note."""
        written = list(self._trials)
        suffix = ":note_ver"
        place = {str(trial_id): number for number, trial_id in self._ids.items()}
        for key in attributes:
            number = place.get(key.removeprefix("dashboard:").removesuffix(suffix)) if key.endswith(suffix) else None
            if number is not None and number < len(written):
                data = json.loads(written[number])
                data["note"] = get_note_from_system_attrs(dict(attributes), self._ids[number])
                written[number] = json.dumps(data).encode()
        return written

    def _evidence(self, trials: pd.DataFrame) -> Evidence:
        import pandas as pd

        return Evidence(self.study, trials, pd.DataFrame(), (), self._store.driver(self.study.name), {})


def _curves(epochs: pd.DataFrame) -> dict[int, list[tuple[int, float]]]:
    curves: dict[int, list[tuple[int, float]]] = {}
    for number, epoch, accuracy in zip(epochs["trial"], epochs["epoch"], epochs["accuracy"], strict=True):
        if accuracy == accuracy and accuracy is not None:
            curves.setdefault(int(number), []).append((int(epoch), float(accuracy)))
    return curves


def _place(options: Sequence[Scalar], value: Scalar) -> int:
    return next(n for n, option in enumerate(options) if type(option) is type(value) and option == value)
