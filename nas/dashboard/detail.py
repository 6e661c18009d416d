"""What the dashboard's page reads about a study, made from our tables and kept between requests.

Optuna Dashboard builds it from all of Optuna's trials at each request, and the time of its notes grows with the square of
their number; benchmarks/dashboard.py compares. A finished trial never changes, so here its JSON is written once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nas.analysis.evidence import Evidence
from nas.dashboard.notes import Tested, study_note, trial_note
from nas.dashboard.trials import Parameters, attributes, trial_json
from nas.dashboard.upstream import get_note_from_system_attrs, get_study, note_ver_key, serialize_study_detail
from nas.objectives import OBJECTIVES, metric_of
from nas.pareto import pareto
from nas.space.outline import Parameter
from nas.states import COMPLETE, STOPPED_EARLY

if TYPE_CHECKING:
    import pandas as pd

    from blocks.base import Scalar
    from nas.store import Store


class StudyDetail:
    """The JSON of one study. Any number of threads may ask for it."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.study = store.study(name)
        self._lock = threading.Lock()
        self._optuna_id: int | None = None
        self._clear()

    def _clear(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._written: list[bytes] = []
        self._curves: dict[int, list[tuple[int, float]]] = {}
        self._frames: list[pd.DataFrame] = []
        self._outlined = False
        self._parameters = Parameters()
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
            return self._frames[0] if self._frames else self._store.trials(self.study.name, since=2**31)

    def curve(self, number: int) -> list[tuple[int, float]]:
        """Epoch, and value of what the study chooses by, of each point of the learning curve of a trial."""
        self.refresh()
        with self._lock:
            return list(self._curves.get(number, []))

    def answer(self, after: int) -> bytes:
        """The JSON of the study, with the trials from place `after` on. Raises StorageError."""
        self.refresh()
        trials = self.trials
        front = set(pareto(trials, self.study.objectives)["trial"])
        tested = Tested(self.study, self._store.measurements())
        evidence = self._evidence(trials)
        with self._lock:
            optuna_id = self._optuna_id
            assert optuna_id is not None
            frozen = get_study(self._store.optuna_storage(), optuna_id)
            head: dict[str, Any] = serialize_study_detail(
                frozen,
                [],
                [],
                self._parameters.space(self._everywhere or set()),
                self._parameters.space(set(self._parameters)),
                list(self._numeric.items()),
                self._learned,
                {},
                [],
            )
            head["objective_names"] = [OBJECTIVES[name].short for name in self.study.objectives]
            if note_ver_key(None) not in frozen.system_attrs:
                head["note"] = {
                    "version": 0,
                    "body": study_note(evidence, tested, self._store.shown_url, optuna_id),
                }
            written = self._with_later_notes(frozen.system_attrs, tested)
        best = [written[number] for number in range(len(written)) if number in front]
        del head["trials"], head["best_trials"]
        start = json.dumps(head)[:-1].encode()
        return b"".join(
            (start, b', "trials": [', b",".join(written[after:]), b'], "best_trials": [', b",".join(best), b"]}")
        )

    def refresh(self) -> int:
        """Reads the trials that are new, and returns how many there are in all. Raises StorageError."""
        with self._lock:
            name, since = self.study.name, len(self._written)
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
            drawn = self._meet(name, since)
            self._read_curves(self._store.epochs(name, since=since))
            for row in new.to_dict("records"):
                self._add(row, drawn.get(row["trial"], {}) if self._outlined else row["assignment"])
            self._frames.append(new)
            return len(self._written)

    def _meet(self, name: str, since: int) -> Mapping[int, Mapping[str, Scalar]]:
        """Learns the parameters that Optuna has, and gives the outlines of trials from number `since` on, if there are any."""
        outline = self._store.outline_parameters(name)
        self._outlined = bool(outline)
        self._parameters.meet(
            outline or {path: Parameter(options) for path, options in self._store.choices(name).items()}
        )
        return self._store.outlines(name, since=since)

    def _add(self, row: dict[str, Any], params: Mapping[str, Scalar]) -> None:
        number, names = row["trial"], set(params)
        curve = self._curves.get(number, [])
        if row["state"] in (COMPLETE, STOPPED_EARLY):
            self._everywhere = names if self._everywhere is None else self._everywhere & names
            self._learned |= bool(curve)
        for key, value in attributes(row).items():
            self._numeric[key] = self._numeric.get(key, True) and not isinstance(value, str)
        assert self._optuna_id is not None
        self._rows.append(row)
        self._written.append(
            trial_json(
                row,
                optuna_study=self._optuna_id,
                optuna_trial=self._ids[number],
                objectives=self.study.objectives,
                curve=curve,
                note=self._note(row),
                params=self._parameters.json(params),
            )
        )

    def _read_curves(self, epochs: pd.DataFrame) -> None:
        metric = metric_of(self.study.objectives).name
        known = epochs[epochs[metric].notna() & epochs["trial"].notna()]
        for number, epoch, value in zip(known["trial"], known["epoch"], known[metric], strict=True):
            self._curves.setdefault(int(number), []).append((int(epoch), float(value)))

    def _with_later_notes(self, system: Mapping[str, Any], tested: Tested) -> list[bytes]:
        """The trials with what came after them: test accuracies; and what a user has written instead of our note."""
        written = list(self._written)
        for number, row in enumerate(self._rows):
            lines = tested.of(row)
            own = note_ver_key(self._ids[number]) in system
            if lines or own:
                data = json.loads(written[number])
                if own:
                    data["note"] = get_note_from_system_attrs(dict(system), self._ids[number])
                else:
                    data["note"]["body"] = self._note(row, lines)
                written[number] = json.dumps(data).encode()
        return written

    def _note(self, row: Mapping[str, Any], tested: Sequence[str] = ()) -> str:
        curve = bool(self._curves.get(row["trial"]))
        return trial_note(self.study, row, self._store.shown_url, curve, tested, choices=self._outlined)

    def _evidence(self, trials: pd.DataFrame) -> Evidence:
        import pandas as pd

        return Evidence(self.study, trials, pd.DataFrame(), (), self._store.driver(self.study.name), {})
