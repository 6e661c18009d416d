"""What kind of answer a network gives: all that training, measuring and searching know of it stands in one `TaskType`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from nas.errors import DataError, RecipeError
from nas.objectives import ACCURACY, BALANCED_ACCURACY, BUILT_IN, Objective, register_objective
from nas.statistics.proportion import standard_error
from nas.statistics.scores import error_of_mean

if TYPE_CHECKING:
    from torch import Tensor  # a list of data sets needs no PyTorch

    from blocks.base import Shape

Labels = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
EXPLODED = 10.0
"""Times the loss of a guess: a validation loss above says that the network does not work."""


class TaskType(ABC):
    """What the answers of a network are, how far they are from the labels, and what counts as good.

    Derive from it for a task of your own and give it to the `Source` of a data set. Labels are an array whose first axis is the
    images; `outputs` is what a network gives for a batch, of the shape (B, *`output`).
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Objective, ...]]
    """What is measured after an epoch beside the loss, each a row whose `known` is ``learned``: the objectives of a search."""
    further: tuple[str, ...] = ()
    """Metrics that sums over batches cannot give: `measure` does, of the answers to all images, which are kept for it."""
    class_metric: ClassVar[str] = ""
    """What each class is measured by (`by_class`); empty where labels are no classes."""
    bound: ClassVar[float | None] = None
    """The probability above which a class counts as said, where an image may have several; None where the likeliest does."""
    is_dense: ClassVar[bool] = False
    """Whether labels lie in the image, so that they would have to move with it: no augmentation moves it then."""

    @abstractmethod
    def output(self, input: Shape, classes: int) -> Shape:
        """The shape that every network must end with, for one image of shape `input` (C, H, W)."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        """The mean loss of a batch, a scalar; `weights` (classes,) of each class, None for all alike."""

    @abstractmethod
    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What `summary` needs to know of a batch: a vector of floats that is added up over all batches."""

    @abstractmethod
    def summary(self, sums: Tensor, images: int) -> dict[str, float]:
        """The mean loss, as ``loss``, and the value of every metric by its name, from the sum of all tallies."""

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The metrics `further`, by name, from the outputs (N, …) and labels (N, …) of all images. Both lie on the CPU."""
        return {}

    def by_class(self, outputs: Tensor, targets: Tensor) -> Values | None:
        """The value of `class_metric` for each class (classes,), NaN for one that no image has. Both lie on the CPU."""
        return None

    def measured(self, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], Values | None]:
        """`measure` and `by_class` of the same answers, for a type of which one follows from the other."""
        return self.measure(outputs, targets), self.by_class(outputs, targets)

    def standard_errors(self, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], Values | None]:
        """Standard errors of metrics by name, and of the classes (classes,), as far as there are formulas for them.

        Of all others the bootstrap makes one: see `nas.train.scoring`.
        """
        return {}, None

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """(classes, classes): images of the class of the row taken for that of the column; None where no image is of one class."""
        return None

    @abstractmethod
    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How many images of a batch are answered right, a scalar; of one that is partly right its share."""

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Outputs as probabilities, of the same shape."""

    def said(self, probabilities: Tensor) -> Tensor:
        """Which classes are said (B, classes), where there are classes: those above `bound`, or the likeliest."""
        import torch

        if self.bound is not None:
            return probabilities > self.bound
        return torch.zeros_like(probabilities, dtype=torch.bool).scatter(1, probabilities.argmax(1, keepdim=True), True)

    def reported(self) -> tuple[str, ...]:
        """The names of everything that is measured after an epoch."""
        return ("loss", *(metric.name for metric in self.metrics))

    def reporting(self, names: Sequence[str]) -> TaskType:
        """The type that measures these too, where it can: see `nas.data.metrics`."""
        return self

    def focused(self, power: float) -> TaskType:
        """The type with a loss in which right answers count less: see `Recipe.focal`. Raises RecipeError where it has none."""
        raise RecipeError(f"focal: a task of {self.name} has no such loss")

    def guess(self, classes: int) -> float:
        """The loss of a network that knows nothing."""
        return math.log(max(2, classes))

    def check(self, what: str, labels: npt.NDArray[Any], images: tuple[int, ...], class_names: tuple[str, ...]) -> None:
        """Raises DataError, naming `what`, where labels cannot be those of images of the shape (N, C, H, W)."""
        if self.is_dense and labels.shape[1:] != images[2:]:
            raise DataError(f"{what}: labels of {labels.shape[1:]} pixels for images of {images[2:]}")

    def strata(self, labels: npt.NDArray[Any], class_names: tuple[str, ...]) -> tuple[Labels, tuple[str, ...]]:
        """The group of each image (N,), and the names of the groups: each part of a split has the same share of them."""
        return np.zeros(len(labels), dtype=np.int64), ("images",)

    def counts(self, labels: npt.NDArray[Any], classes: int) -> Labels | None:
        """How many images there are of each class (classes,); None where that means nothing."""
        return None

    def chance(self, labels: npt.NDArray[Any]) -> float:
        """The value of the first metric up to which a network has learned nothing from images with these labels."""
        return 0.0

    def untrained(self, labels: npt.NDArray[Any], classes: int, found: Mapping[str, float]) -> str | None:
        """Why a network that was measured so on images with these labels counts as untrained; None when it has learned."""
        if not found["loss"] < EXPLODED * self.guess(classes):
            return f"validation loss {found['loss']:.3g} has exploded: a guess has {self.guess(classes):.2f}"
        return None


class Classification(TaskType):
    """Each image is of one class: logits (classes,), cross-entropy, accuracy."""

    name = "classification"
    metrics = (ACCURACY,)
    class_metric = ACCURACY.name

    def __init__(self, further: tuple[str, ...] = (), focal: float = 0.0) -> None:
        """`further`: names in `nas.data.metrics.METRICS` of what is measured too; `focal`: see `Recipe.focal`."""
        self.further, self.focal = further, focal

    def focused(self, power: float) -> TaskType:
        """The same with focal loss."""
        return Classification(self.further, power)

    def reporting(self, names: Sequence[str]) -> TaskType:
        """Those of `METRICS` too."""
        from nas.data.metrics import METRICS

        further = tuple(name for name in dict.fromkeys(names) if name in METRICS)
        return Classification(further, self.focal) if further else self

    def measure(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The further metrics."""
        from nas.data.metrics import METRICS

        probabilities, labels = outputs.double().softmax(1).numpy(), targets.numpy()
        return {name: float(METRICS.find(name)(probabilities, labels)) for name in self.further}

    def by_class(self, outputs: Tensor, targets: Tensor) -> Values:
        """The share of the images of each class that is right."""
        right, images = self._counts(outputs, targets)
        with np.errstate(invalid="ignore"):
            shares: Values = right / images
        return shares

    def standard_errors(self, outputs: Tensor, targets: Tensor) -> tuple[dict[str, float], Values]:
        """Those of shares are binomial; the loss is a mean, and balanced accuracy one of shares of images of their own."""
        import torch.nn.functional as F

        right, images = self._counts(outputs, targets)
        total = len(targets)
        top5 = float((outputs.topk(min(5, outputs.shape[1])).indices == targets[:, None]).any(1).double().mean())
        losses = F.cross_entropy(outputs, targets, reduction="none").double()
        found = {
            ACCURACY.name: standard_error(float(right.sum() / total), total),
            "top5": standard_error(top5, total),
            "loss": float(losses.std(correction=1)) / math.sqrt(total) if total > 1 else math.nan,
        }
        there = np.flatnonzero(images)
        classes = np.full(len(images), np.nan)
        classes[there] = [standard_error(float(right[one] / images[one]), int(images[one])) for one in there]
        if BALANCED_ACCURACY.name in self.further:
            found[BALANCED_ACCURACY.name] = error_of_mean(classes[there].tolist())
        return found, classes

    def confusion(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The largest logit says the class."""
        import torch

        classes = outputs.shape[1]
        return torch.bincount(targets * classes + outputs.argmax(1), minlength=classes**2).view(classes, classes)

    def _counts(self, outputs: Tensor, targets: Tensor) -> tuple[Labels, Labels]:
        """Right answers, and images, of each class."""
        counts = self.confusion(outputs, targets)
        return counts.diag().numpy(), counts.sum(1).numpy()

    def output(self, input: Shape, classes: int) -> Shape:
        """A logit for each class."""
        return (classes,)

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
        """Mean cross-entropy of logits (B, classes) for labels (B,); with `focal` images that are right count less."""
        import torch.nn.functional as F

        if self.focal:
            each = F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing, reduction="none")
            right = outputs.softmax(1).gather(1, targets[:, None])[:, 0]
            counted = len(targets) if weights is None else weights[targets].sum()
            return ((1 - right) ** self.focal * each).sum() / counted
        return F.cross_entropy(outputs, targets, weights, label_smoothing=smoothing)

    def tally(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Right first answers, right ones among the first five, and the loss."""
        import torch
        import torch.nn.functional as F

        best = outputs.topk(min(5, outputs.shape[1])).indices
        hits = best == targets[:, None]
        loss = F.cross_entropy(outputs, targets, reduction="sum")
        return torch.stack([hits[:, 0].sum().float(), hits.any(1).sum().float(), loss])

    def summary(self, sums: Tensor, images: int) -> dict[str, float]:
        """Top-1 and top-5 accuracy in [0, 1]: with fewer than five classes top-5 is top-all."""
        accuracy, top5, loss = (sums / images).tolist()
        return {"accuracy": accuracy, "top5": top5, "loss": loss}

    def reported(self) -> tuple[str, ...]:
        """Top-5 accuracy too."""
        return (*super().reported(), "top5", *self.further)

    def right(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Images whose class has the largest logit."""
        return (outputs.argmax(1) == targets).sum()

    def probabilities(self, outputs: Tensor) -> Tensor:
        """They add up to 1 over the classes."""
        return outputs.softmax(1)

    def check(self, what: str, labels: npt.NDArray[Any], images: tuple[int, ...], class_names: tuple[str, ...]) -> None:
        """Each label is the number of a class."""
        if len(class_names) < 2:
            raise DataError(f"{what}: {len(class_names)} class; a classifier needs at least two")
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(class_names)):
            bad = int(labels.max()) if labels.max() >= len(class_names) else int(labels.min())
            raise DataError(
                f"{what}: label {bad} is out of range; there are {len(class_names)} classes, counted from 0"
            )

    def strata(self, labels: npt.NDArray[Any], class_names: tuple[str, ...]) -> tuple[Labels, tuple[str, ...]]:
        """The classes."""
        return labels, class_names

    def counts(self, labels: npt.NDArray[Any], classes: int) -> Labels:
        """How many images there are of each class."""
        return np.bincount(labels, minlength=classes)

    def chance(self, labels: npt.NDArray[Any]) -> float:
        """Two standard errors above the share of the commonest class."""
        guess = _majority(labels)
        return guess + 2 * standard_error(guess, len(labels))

    def untrained(self, labels: npt.NDArray[Any], classes: int, found: Mapping[str, float]) -> str | None:
        """One that is no better than the commonest class."""
        if found["accuracy"] < self.chance(labels):
            return f"accuracy {found['accuracy']:.1%} is not above chance: the commonest class alone gives {_majority(labels):.1%}"
        return super().untrained(labels, classes, found)


def _majority(labels: npt.NDArray[Any]) -> float:
    """Share of the commonest class: what one is right in who always says it."""
    return float(np.bincount(labels).max() / len(labels))


CLASSIFICATION = Classification()


def register_task_type(task_type: TaskType) -> None:
    """Makes the metrics of a type of tasks known as objectives. Raises NasError as `nas.register_objective` does."""
    for metric in task_type.metrics:
        if metric.name not in BUILT_IN:
            register_objective(metric)
