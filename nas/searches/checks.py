"""What a search asks of its data, its metrics and its loss before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from nas.config.losses import check_loss
from nas.config.own_functions import noted
from nas.config.recipe import Recipe
from nas.data import Dataset, Task, TaskType
from nas.data.metrics import KIND as METRIC
from nas.data.metrics import check_metric
from nas.errors import SearchError
from nas.objectives import learned


def check_reported(objectives: Sequence[str], task: Task, task_type: TaskType) -> None:
    """Raises SearchError for an objective that a training on these data does not report."""
    for name in learned(objectives):
        if name not in task_type.reported():
            known = ", ".join(task_type.reported())
            raise SearchError(
                f"data '{task.dataset}': a training reports {known}, and no {name}; name other --objectives, such as by "
                f"--metric {task_type.metrics[0].name}"
            )


def check_functions(recipe: Recipe, dataset: Dataset) -> None:
    """Tries the loss and the metrics of a user's own. Raises a NasError where they give no number for these labels."""
    if recipe.loss:
        check_loss(recipe.loss, dataset.type.output(dataset.input, dataset.classes), dataset.train.y)
    for metric in noted(METRIC, dataset.type.further):
        check_metric(metric.name, dataset.measured_labels, dataset.classes)
