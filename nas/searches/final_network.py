"""The end of a search that is to give a network to use: the most accurate members of its front, retrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.network.model_selection import Retrained, cheaper, final, of_way
from nas.objectives import ACCURACY, metric_of
from nas.pareto import pareto
from nas.replays.options import SEEDS, TrainingOptions
from nas.replays.plan import longer
from nas.searches.options import SearchOptions
from nas.searches.progress import Progress, duration
from nas.states import State
from nas.statistics.informed import informed_accuracies

if TYPE_CHECKING:
    import pandas as pd

    from nas.replays.jobs import Ran
    from nas.replays.plan import Plan
    from nas.space.space import Space


@dataclass(frozen=True)
class Final:
    """The network that a search ends with, and those that it was chosen among."""

    ran: Ran
    """Its trainings, one for each seed."""
    network: Retrained
    candidates: tuple[Retrained, ...]
    """All that were retrained, the best first."""

    @property
    def cheaper(self) -> Retrained | None:
        """The smallest one that is within one standard error of it; None: that itself."""
        return cheaper(self.candidates, self.network)


def most_promising(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    space: Space,
    number: int,
    images: int | None = None,
    classes: int = 0,
) -> pd.DataFrame:
    """So many trials, the best by what was learned first, of the front of those that keep the constraints of `space` as it is.

    An accuracy on so many validation `images` of so many `classes` is what the loss on the same images makes of it
    (`informed_accuracies`): the front of accuracies as they are is that of the luckiest. None: they are exact.
    """
    inside = trials[trials["state"] == State.COMPLETE]
    for name, bounds in space.constraints.items():
        if name not in inside:
            return inside.head(0)  # it was not known of the trials, which were searched without this constraint
        if bounds.min is not None:
            inside = inside[inside[name] >= bounds.min]
        if bounds.max is not None:
            inside = inside[inside[name] <= bounds.max]
    metric = metric_of(objectives)
    if metric.name == ACCURACY.name and images is not None:
        accuracies, losses = (inside[name].to_numpy(dtype=np.float64) for name in (ACCURACY.name, "loss"))
        inside = inside.assign(accuracy=informed_accuracies(accuracies, losses, images, classes))
    front = pareto(inside, objectives).sort_values([metric.name, "trial"], ascending=[not metric.is_maximized, True])
    return trials.loc[front.index[:number]]


def finish(options: SearchOptions, study: str, chosen: pd.DataFrame, progress: Progress) -> list[Ran]:
    """Retrains the networks of the trials `chosen`, those that were not yet, side by side on Ray.

    Raises KeyboardInterrupt when the user stops it; the same call resumes from the last epochs.
    """
    from nas.replays.in_process import retrain_plans
    from nas.replays.on_ray import run_on_ray

    training = TrainingOptions(
        data_root=options.data_root,
        data_cache=options.data_cache,
        data_memory=options.data_memory,
        seeds=SEEDS,
        device=options.ray.device,
        storage=options.storage,
        teacher=options.teacher,
    )
    plans = retrain_plans(study, training, progress.note, trials=[int(number) for number in chosen["trial"]])
    _tell(plans, chosen, training, progress)
    return list(run_on_ray(plans, training, options.ray, progress.of_trainings()))


def final_network(rans: Sequence[Ran]) -> Final | None:
    """The best of them on validation images; None when none was trained to its end."""
    found = [(ran, way) for ran in rans if (way := of_way(ran.measured)) is not None]
    found.sort(key=lambda pair: (-pair[1].worth, pair[1].parameters))
    chosen = final([way for _, way in found])
    if chosen is None:
        return None
    ran = next(ran for ran, way in found if way is chosen)
    return Final(ran, chosen, tuple(way for _, way in found))


def _tell(plans: Sequence[Plan], chosen: pd.DataFrame, training: TrainingOptions, progress: Progress) -> None:
    """What comes now, and how long one training takes by the pace of the search."""
    names = ", ".join(f"{number}" for number in chosen["trial"])
    steps = plans[0].recipe.epochs * plans[0].recipe.steps_per_epoch(len(plans[0].dataset.train))
    images = len(plans[0].dataset.validation)
    slowest = float(chosen["seconds"].max()) * longer(plans[0].recipe)
    about = f"; one takes up to about {duration(slowest)}" if slowest >= 1 else ""
    progress.note(
        f"retraining the {len(plans)} most promising (trial {names}): {training.seeds} seeds of {steps:,} steps each, "
        f"chosen by {images:,} validation images{about}"
    )
