"""One training of a plan under one seed: a checkpoint after every epoch, the test set read once at the end."""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nas.compile import compile_model
from nas.data import Split
from nas.errors import NasError
from nas.replays import checkpoint
from nas.replays.plan import Plan
from nas.replays.progress import Progress
from nas.store import Measured
from nas.store.schema import utc_now
from nas.train import Diverged, State, Trainer, device_name, environment, outcome, release_memory, seed_everything
from nas.weights import Card, save_weights

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tested:
    """What a network is worth on the test images."""

    accuracy: float
    """In [0, 1], like `top5`."""
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


def train_seed(
    plan: Plan,
    seed: int,
    device: torch.device,
    folder: Path,
    test: Callable[[], Split],
    progress: Progress,
) -> Measured:
    """Trains the plan's network under one seed, from its last checkpoint where there is one, and measures it.

    `test` reads the test images; it is called once, when the training is over. What the model does wrong is the state
    of what is returned; KeyboardInterrupt and a NasError are the caller's, and the same call goes on from there.
    """
    run = _Run(plan, seed, device, Files.of(folder, seed))
    try:
        run.train(progress)
        return run.measure(test())
    except NasError:
        raise
    except Exception as problem:  # whatever a model can do
        return run.failed(*outcome(problem))
    finally:
        run.trainer = None
        release_memory()


class _Run:
    def __init__(self, plan: Plan, seed: int, device: torch.device, files: Files) -> None:
        self.plan, self.seed, self.device, self.files = plan, seed, device, files
        self.started_at = utc_now()
        self.trainer: Trainer | None = None
        self.environment = environment()
        self.curve: list[dict[str, Any]] = []
        self.precision: str = plan.recipe.precision  # what `auto` comes to is known when the model is built

    def train(self, progress: Progress) -> None:
        """Trains to the end of the recipe, with a checkpoint after every epoch."""
        plan = self.plan
        state = self._checkpoint()
        seed_everything(self.seed)
        model = compile_model(plan.architecture, plan.dataset.input, plan.dataset.classes)
        if plan.pretrained and state is None:
            from nas.pretrained import load_pretrained

            with redirect_stdout(sys.stderr):  # PyTorch announces a download where our results stand
                load_pretrained(model, plan.pretrained)
        trainer = self.trainer = Trainer(model, plan.dataset, plan.recipe.replace(seed=self.seed), self.device)
        self.precision = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[trainer.amp_dtype]
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            self.started_at = datetime.datetime.fromisoformat(state["started_at"])
            self.curve = [asdict(epoch) for epoch in trainer.epochs]
        progress.begin(plan.title, self.seed, plan.recipe.epochs, len(trainer.epochs))
        try:
            while not trainer.finished:
                epoch = trainer.step()
                self.curve.append(asdict(epoch))
                checkpoint.save(self.files.checkpoint, self._state(trainer))
                progress.epoch(epoch)
        finally:
            progress.end()

    def measure(self, split: Split) -> Measured:
        """Reads the test set, and writes weights and confusion matrix."""
        assert self.trainer is not None
        tested = examine(self.trainer.predict(split), torch.from_numpy(split.y), self.plan.dataset.classes)
        if not math.isfinite(tested.loss):
            raise Diverged(f"test loss is {tested.loss}")
        write_confusion(self.files.confusion, tested.confusion, self.plan.dataset.class_names)
        save_weights(self.files.weights, self.trainer.model, self._card(tested))
        return self._measured(State.COMPLETE, "", tested)

    def failed(self, state: State, reason: str) -> Measured:
        """What is recorded of a training that did not complete."""
        return self._measured(state, reason, None)

    def _state(self, trainer: Trainer) -> dict[str, Any]:
        return {
            "key": self.plan.key,
            "seed": self.seed,
            "device": self.device.type,
            "started_at": self.started_at.isoformat(),
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

    def _card(self, tested: Tested) -> Card:
        plan, data = self.plan, self.plan.dataset
        facts = {
            "kind": plan.kind,
            "published": plan.published,
            "study": plan.study,
            "trial": plan.trial,
            "data": data.task.dataset,
            "epochs": plan.recipe.epochs,
            "seed": self.seed,
            "test_accuracy": tested.accuracy,
            "deviations": list(plan.deviations),
        }
        return Card(plan.architecture, data.input, data.classes, data.class_names, data.mean, data.std, facts)

    def _measured(self, state: State, reason: str, tested: Tested | None) -> Measured:
        plan = self.plan
        return Measured(
            kind=plan.kind,
            architecture=plan.architecture,
            key=plan.key,
            seed=self.seed,
            state=str(state),
            reason=reason,
            accuracy=tested.accuracy if tested else None,
            top5=tested.top5 if tested else None,
            loss=tested.loss if tested else None,
            parameters=plan.cost.parameters,
            macs=plan.cost.macs,
            task=plan.task,
            recipe=plan.recipe.replace(seed=self.seed).to_dict() | {"precision": self.precision},
            fraction=plan.fraction,
            curve=self.curve,
            deviations=plan.deviations,
            seconds=sum(float(epoch["seconds"]) for epoch in self.curve),
            device=device_name(self.device),
            environment=self.environment,
            started_at=self.started_at,
            published=plan.published,
            study=plan.study,
            trial=plan.trial,
            weights=str(self.files.weights.absolute()) if tested else None,
        )


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
