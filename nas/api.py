"""A study as one explores it from Python: frames of its trials, and its networks as modules and files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from nas.architecture.architecture import Architecture
from nas.export import Exported
from nas.export import export as write
from nas.network.load import Trained, build
from nas.network.lookup import Network, find_network, study_name
from nas.pareto import hypervolume, pareto
from nas.store import DEFAULT_URL, Store, StudyRow

if TYPE_CHECKING:
    import pandas as pd
    from torch import fx


class LoadedStudy:
    """A study of a database; make one with `nas.load_study`.

    It reads the database anew at each call, so that a study which a search is still filling can be followed. A trial is
    named by its number in the frames. Every method raises a `nas.errors.NasError` of one line for what cannot be done.
    """

    def __init__(self, name: str | None = None, storage: str | None = None) -> None:
        """Opens the study of that name; the only one of the database when `name` is None."""
        self.storage = storage or DEFAULT_URL
        with Store.open(self.storage) as store:
            self._row: StudyRow = store.study(study_name(store, name))
        if self._row.outdated_costs:
            warnings.warn(self._row.outdated_costs, stacklevel=2)

    def __repr__(self) -> str:
        return f"<study {self.name} in {self.storage.partition('?')[0].rpartition('@')[2]}>"

    def _repr_html_(self) -> str:
        """The front for a notebook, with what its networks are worth on the test set where they were retrained."""
        from nas.front.notebook import front_html
        from nas.front.view import front_view

        with Store.open(self.storage) as store:
            view = front_view(store.study(self.name), store.trials(self.name), store.measurements(), published=False)
        return front_html(view, f"Study {self.name}", [view.subtitle])

    @property
    def name(self) -> str:
        """Name of the study."""
        return self._row.name

    @property
    def objectives(self) -> tuple[str, ...]:
        """What it optimizes."""
        return self._row.objectives

    def trials(self, *, choices: bool = False) -> pd.DataFrame:
        """One row per finished trial, in the order of finishing; `nas.store.frames.trials` says which columns.

        With `choices` every choice of the space is a column of its own, named ``choice.…``, instead of one dict.
        """
        import pandas as pd

        with Store.open(self.storage) as store:
            frame = store.trials(self.name)
        if not choices:
            return frame
        columns = pd.DataFrame(list(frame.pop("assignment")), index=frame.index).add_prefix("choice.")
        return pd.concat([frame, columns], axis=1)

    def epochs(self) -> pd.DataFrame:
        """Learning curves: one row per trial and epoch."""
        with Store.open(self.storage) as store:
            return store.epochs(self.name)

    def pareto(self) -> pd.DataFrame:
        """The trials that no other one beats in every objective, cheapest first, with the columns of `trials`."""
        return pareto(self.trials(), self.objectives)

    def hypervolume(self) -> float:
        """What the front dominates, from 0 to 1: see `nas.pareto.hypervolume`."""
        return hypervolume(self.trials(), self.objectives)

    def network(self, trial: int | str) -> Network:
        """Everything known about the network of a trial, named by number or by the begin of its hash."""
        return find_network(str(trial), study=self.name, storage=self.storage)

    def architecture(self, trial: int | str) -> Architecture:
        """The network of a trial as plain data."""
        return self.network(trial).architecture

    def trained(self, trial: int | str, *, weights: str | Path | None = None) -> Trained:
        """The model of a trial with its card: names of classes, scale of the images, and where the weights come from."""
        path = None if weights is None else Path(weights)
        return build(self.network(trial), weights=path, storage=self.storage)

    def model(self, trial: int | str, *, weights: str | Path | None = None) -> fx.GraphModule:
        """The network of a trial as a module in evaluation mode: (B, C, H, W) -> (B, classes).

        Weights are those of the file `weights`, else of its latest retraining. Where there are none they are random, and
        a warning says how to get some.
        """
        trained = self.trained(trial, weights=weights)
        if trained.weights is None:
            warnings.warn(trained.note, stacklevel=2)
        return trained.model

    def export(
        self,
        trial: int | str,
        path: str | Path | None = None,
        *,
        format: str = "python",
        weights: str | Path | None = None,
    ) -> Exported:
        """Writes a trial as `nas export` does: python, onnx, torch or state-dict. Says which files it wrote."""
        target = None if path is None else Path(path)
        return write(self.network(trial), self.trained(trial, weights=weights), format, target)
