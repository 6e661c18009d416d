"""Images with any number of labels: a logit for each, binary cross-entropy, mean average precision."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.data.task_type import Labels, TaskType, Values
from nas.errors import DataError
from nas.objectives import EXACT_MATCH, MACRO_F1, MEAN_AVERAGE_PRECISION
from nas.statistics.proportion import standard_error

if TYPE_CHECKING:
    from torch import Tensor

    from blocks.base import Shape


class MultiLabel(TaskType):
    """Labels (N, classes) with 0 and 1: each class is there or not, whatever the others are.

    A label counts as said where its probability is above a half; mean average precision needs no such bound.
    """

    name = "multi-label classification"
    metrics = (MEAN_AVERAGE_PRECISION, MACRO_F1, EXACT_MATCH)
    further = (MEAN_AVERAGE_PRECISION.name,)
    class_metric = "average_precision"
    bound = 0.5

    def __init__(self, focal: float = 0.0) -> None:
        """`focal`: see `Recipe.focal`."""
        self.focal = focal

    def focused(self, power: float) -> TaskType:
        """The same with focal loss."""
        return MultiLabel(power)

    def output(self, input: Shape, classes: int) -> Shape:
        """A logit for each label."""
        return (classes,)

    def guess(self, classes: int) -> float:
        """What a coin for each label has."""
        return math.log(2)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        """Mean binary cross-entropy of logits (B, classes) for labels (B, classes)."""
        import torch.nn.functional as F

        soft = targets.float() * (1 - smoothing) + smoothing / 2
        if self.focal:
            each = F.binary_cross_entropy_with_logits(outputs, soft, weights, reduction="none")
            said = outputs.sigmoid()
            right = said * soft + (1 - said) * (1 - soft)
            return ((1 - right) ** self.focal * each).mean()
        return F.binary_cross_entropy_with_logits(outputs, soft, weights)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, images without a mistake; and of each label how often it was said rightly, wrongly, and missed."""
        import torch
        import torch.nn.functional as F

        said, meant = outputs > 0, targets > 0
        loss = F.binary_cross_entropy_with_logits(outputs, targets.float(), reduction="none").mean(1).sum()
        parts = [(said & meant).sum(0), (said & ~meant).sum(0), (~said & meant).sum(0)]
        return torch.cat([loss[None], (said == meant).all(1).sum()[None].float(), *(part.float() for part in parts)])

    def summary(self, sums: Tensor, images: int) -> dict[str, float]:
        """F1 is the mean over the labels, 0 for one that is neither said nor meant; exact match a share of the images."""
        hits, wrong, missed = sums[2:].view(3, -1)
        f1 = float((2 * hits / (2 * hits + wrong + missed).clamp(min=1)).mean())
        return {"loss": float(sums[0]) / images, MACRO_F1.name: f1, EXACT_MATCH.name: float(sums[1]) / images}

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Mean over the labels of the area under precision against recall; labels that no image has do not count."""
        return self.measured(outputs, targets)[0]

    def by_class(self, outputs: Tensor, targets: Tensor) -> Values:
        """Average precision of each label; NaN of one that no image has."""
        from sklearn.metrics import average_precision_score

        scores, meant = outputs.numpy(), targets.numpy()
        there = meant.any(0)
        found = np.full(meant.shape[1], np.nan)
        if there.any():
            found[there] = average_precision_score(meant[:, there], scores[:, there], average=None)
        return found

    def measured(self, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], Values]:
        """Both at once."""
        classes = self.by_class(outputs, targets)
        there = classes[np.isfinite(classes)]
        return {MEAN_AVERAGE_PRECISION.name: float(there.mean()) if len(there) else math.nan}, classes

    def standard_errors(self, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], Values | None]:
        """A share of the images without a mistake is binomial; the bootstrap does the others."""
        images = len(targets)
        return {EXACT_MATCH.name: standard_error(float(self.right(outputs, targets)) / images, images)}, None

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Images without a mistake."""
        return ((outputs > 0) == (targets > 0)).all(1).sum()

    def probabilities(self, outputs: Tensor) -> Tensor:
        """One for each label; they do not add up to anything."""
        return outputs.sigmoid()

    def check(self, what: str, labels: npt.NDArray[Any], images: tuple[int, ...], class_names: tuple[str, ...]) -> None:
        """Labels are 0 and 1, one for each class."""
        if labels.ndim != 2 or labels.shape[1] != len(class_names):
            raise DataError(f"{what}: labels of the shape {labels.shape} for {len(class_names)} classes")
        if not len(class_names):
            raise DataError(f"{what}: no image has a label")
        if not np.isin(labels, (0, 1)).all():
            raise DataError(f"{what}: labels must be 0 or 1, not {labels[~np.isin(labels, (0, 1))][0]}")

    def counts(self, labels: npt.NDArray[Any], classes: int) -> Labels:
        """How many images have each label."""
        counts: Labels = labels.sum(0)
        return counts


MULTI_LABEL = MultiLabel()
