"""One training of a plan under one seed: a checkpoint after every epoch, the test set read once at the end."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.architecture.compile import compile_model
from nas.data import Split
from nas.errors import NasError
from nas.network.weights import Card, save_weights
from nas.replays import checkpoint
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.states import State
from nas.statistics.scores import Score
from nas.store import Measured
from nas.store.schema import utc_now
from nas.train import (
    Diverged,
    Epoch,
    Trainer,
    device_name,
    environment,
    outcome,
    release_memory,
    seed_everything,
)
from nas.train.evaluation import measured_epochs

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tested:
    """What a network is worth on the test images."""

    accuracy: float
    """Accuracy in [0, 1], like `top5`."""
    top5: float
    loss: float
    confusion: Counts
    """(classes, classes): images of the class of the row that were taken for the class of the column."""


@dataclass(frozen=True)
class Files:
    """Where the files of one training lie."""

    checkpoint: Path
    weights: Path
    confusion: Path

    @classmethod
    def of(cls, folder: Path, seed: int) -> Files:
        """Those of this seed."""
        stem = f"seed-{seed}"
        return cls(folder / f"{stem}.checkpoint", folder / f"{stem}.safetensors", folder / f"{stem}-confusion.csv")


@dataclass(frozen=True)
class Report:
    """How a training ended, as plain values that cross processes."""

    state: str
    """A finished state of a trial."""
    reason: str
    curve: Sequence[Mapping[str, Any]]
    """Epochs as `nas.train.Epoch` has them, those before a kill too."""
    precision: str
    device: str
    environment: Mapping[str, Any]
    started_at: str
    """Naive UTC, ISO 8601."""
    accuracy: float | None = None
    """Accuracy on the test set, like those that follow; None when it was not read."""
    top5: float | None = None
    loss: float | None = None
    weights: str | None = None
    scores: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """Right answers by part of the data, ``validation`` and ``test``: what `Score.to_dict` gives."""

    def measured(self, plan: Plan, seed: int) -> Measured:
        """The row of the study database."""
        return Measured(
            kind=plan.kind,
            architecture=plan.architecture,
            key=plan.key,
            seed=seed,
            state=self.state,
            reason=self.reason,
            accuracy=self.accuracy,
            top5=self.top5,
            loss=self.loss,
            parameters=plan.cost.parameters,
            macs=plan.cost.macs,
            task=plan.task,
            recipe=plan.recipe.replace(seed=seed, precision=self.precision),
            fraction=plan.fraction,
            curve=self.curve,
            deviations=plan.deviations_in(self.precision),
            seconds=sum(float(epoch["seconds"]) for epoch in self.curve),
            device=self.device,
            environment=self.environment,
            started_at=datetime.datetime.fromisoformat(self.started_at),
            published=plan.published,
            study=plan.study,
            trial=plan.trial,
            weights=self.weights,
            scores={part: Score.from_dict(score) for part, score in self.scores.items()},
        )


def train_seed(
    plan: Plan,
    seed: int,
    device: torch.device,
    folder: Path,
    test: Callable[[], Split],
    progress: Progress,
) -> Report:
    """Trains the plan's network under one seed, from its last checkpoint where there is one, and measures it.

    `test` reads the test images; it is called once, when the training is over. What the model does wrong is the state
    of what is returned; KeyboardInterrupt and a NasError are the caller's, and the same call goes on from there.
    """
    training = Training(plan, seed, device, folder)
    name = f"{plan.title} seed {seed}"
    try:
        done = training.begin()
        progress.begin(name, plan.recipe.epochs, done)
        try:
            while not training.finished:
                progress.epoch(name, training.step())
        finally:
            progress.end(name)
        return training.measure(test())
    except NasError:
        raise
    except Exception as problem:  # whatever a model can do
        return training.failed(*outcome(problem))
    finally:
        training.close()


class Training:
    """One training, an epoch at a time. What the model raises is the caller's, who then asks for `failed`."""

    def __init__(self, plan: Plan, seed: int, device: torch.device, folder: Path) -> None:
        self.plan, self.seed, self.device, self.files = plan, seed, device, Files.of(folder, seed)
        self.started_at = utc_now().isoformat()
        self.trainer: Trainer | None = None
        self.curve: list[dict[str, Any]] = []
        self.precision: str = plan.recipe.precision  # what `auto` comes to is known when the model is built

    def begin(self) -> int:
        """Builds the network, from its last checkpoint where there is one. Returns how many epochs were done before."""
        plan = self.plan
        state = self._checkpoint()
        seed_everything(self.seed)
        model = compile_model(plan.architecture, plan.dataset.input, plan.dataset.classes)
        if plan.pretrained and state is None:
            from nas.network.pretrained import load_pretrained

            with redirect_stdout(sys.stderr):  # PyTorch announces a download where our results stand
                load_pretrained(model, plan.pretrained)
        recipe = plan.recipe.replace(seed=self.seed)
        measured = measured_epochs(recipe.epochs)
        trainer = self.trainer = Trainer(model, plan.dataset, recipe, self.device, measured=measured)
        self.precision = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[trainer.amp_dtype]
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            self.started_at = state["started_at"]
            self.curve = [asdict(epoch) for epoch in trainer.epochs]
        return len(trainer.epochs)

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        assert self.trainer is not None
        return self.trainer.finished

    def step(self) -> Epoch:
        """An epoch, and a checkpoint after it."""
        assert self.trainer is not None
        epoch = self.trainer.step()
        self.curve.append(asdict(epoch))
        checkpoint.save(self.files.checkpoint, self._state(self.trainer))
        return epoch

    def measure(self, split: Split) -> Report:
        """Reads the test set, and writes weights and confusion matrix. What is written, validated and tested is one network."""
        assert self.trainer is not None
        tested = self._examine(self.trainer, split)
        if not math.isfinite(tested.loss):
            raise Diverged(f"test loss is {tested.loss}")
        write_confusion(self.files.confusion, tested.confusion, self.plan.dataset.class_names)
        scores = {"test": Score.of_confusion(tested.confusion.tolist())}
        if len(self.plan.dataset.validation):
            validated = self._examine(self.trainer, self.plan.dataset.validation)
            scores["validation"] = Score.of_confusion(validated.confusion.tolist())
        save_weights(self.files.weights, self.trainer.network, self._card(scores))
        weights = str(self.files.weights.absolute())
        return replace(
            self.failed(State.COMPLETE, ""),
            accuracy=tested.accuracy,
            top5=tested.top5,
            loss=tested.loss,
            weights=weights,
            scores={part: score.to_dict() for part, score in scores.items()},
        )

    def _examine(self, trainer: Trainer, split: Split) -> Tested:
        return examine(trainer.predict(split), torch.from_numpy(split.y), self.plan.dataset.classes)

    def failed(self, state: State, reason: str) -> Report:
        """What is recorded of a training whose test set was not read."""
        device = device_name(self.device)
        return Report(str(state), reason, self.curve, self.precision, device, environment(), self.started_at)

    def close(self) -> None:
        """Gives the memory back."""
        self.trainer = None
        release_memory()

    def _state(self, trainer: Trainer) -> dict[str, Any]:
        return {
            "key": self.plan.key,
            "seed": self.seed,
            "device": self.device.type,
            "started_at": self.started_at,
            "trainer": trainer.state_dict(),
        }

    def _checkpoint(self) -> dict[str, Any] | None:
        path = self.files.checkpoint
        state = checkpoint.load(path)
        if state is None:
            return None
        if (state.get("key"), state.get("seed")) != (self.plan.key, self.seed):
            raise NasError(f"{path}: a checkpoint of another training; remove it to train from the start")
        if state["device"] != self.device.type:
            raise NasError(
                f"{path}: was trained on {state['device']}; continue with --device {state['device']}, or remove the "
                f"file to train from the start on {self.device.type}"
            )
        return state

    def _card(self, scores: Mapping[str, Score]) -> Card:
        plan, data = self.plan, self.plan.dataset
        facts = {
            "kind": plan.kind,
            "published": plan.published,
            "study": plan.study,
            "trial": plan.trial,
            "data": data.task.dataset,
            "epochs": plan.recipe.epochs,
            "seed": self.seed,
            "test_accuracy": scores["test"].accuracy,
            "test_standard_error": scores["test"].error,
            "deviations": [str(deviation) for deviation in plan.deviations_in(self.precision)],
        }
        if "validation" in scores:
            facts["accuracy_held_out"] = scores["validation"].accuracy
        return Card(plan.architecture, data.input, data.classes, data.class_names, data.mean, data.std, facts)


def examine(logits: Tensor, y: Tensor, classes: int) -> Tested:
    """Accuracies, mean cross-entropy and confusion matrix of logits (N, classes) for labels (N,)."""
    best = logits.topk(min(5, classes)).indices
    hits = best == y[:, None]
    confusion = torch.bincount(y * classes + best[:, 0], minlength=classes * classes).view(classes, classes)
    return Tested(
        float(hits[:, 0].double().mean()),
        float(hits.any(1).double().mean()),
        float(F.cross_entropy(logits, y)),
        confusion.numpy(),
    )


def write_confusion(path: Path, confusion: Counts, names: tuple[str, ...]) -> None:
    """A table with a row for each true class and a column for each predicted one. Raises NasError."""
    import pandas as pd

    try:
        pd.DataFrame(confusion, index=list(names), columns=list(names)).rename_axis("true").to_csv(path)
    except OSError as problem:
        raise NasError(f"{path}: cannot be written: {problem.strerror or problem}") from None


def read_confusion(path: Path, classes: int) -> Counts | None:
    """What `write_confusion` wrote; None when it is not there any more, or a table of something else."""
    import pandas as pd

    try:
        table = pd.read_csv(path, index_col=0).to_numpy(dtype=np.int64)
    except (OSError, ValueError):
        return None
    counts: Counts = table
    return counts if counts.shape == (classes, classes) else None
