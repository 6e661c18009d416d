"""One training of a plan under one seed: a checkpoint after every epoch and every minute, the test set read once at the end."""

from __future__ import annotations

import datetime
import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nas.architecture.compile import compile_model
from nas.data import Split
from nas.errors import NasError
from nas.execution.checkpoint import Checkpoint, Foreign, Kept
from nas.execution.job import Outcome
from nas.execution.report import Begun, Evaluated
from nas.network.pretrained import carry, load_pretrained, start_of
from nas.network.weights import Card, save_weights
from nas.replays.plan import Plan
from nas.states import State
from nas.statistics.scores import Score
from nas.store import Measured
from nas.store.schema import utc_now
from nas.text.sanitize import in_cell, one_line
from nas.train import Diverged, Epoch, Trainer, Verdict, environment, seed_everything
from nas.train.evaluation import measured_epochs
from nas.train.scoring import score

Counts = npt.NDArray[np.int64]


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


def measured(plan: Plan, seed: int, outcome: Outcome, started_at: str) -> Measured:
    """The row of the study database for what came of a training that began, as far as is known, at `started_at`."""
    begun, tested = outcome.begun or Begun(), outcome.tested
    precision = begun.precision or plan.recipe.precision
    return Measured(
        kind=plan.kind,
        architecture=plan.architecture,
        key=plan.key,
        seed=seed,
        state=str(outcome.state),
        reason=outcome.reason or "",
        parameters=plan.cost.parameters,
        macs=plan.cost.macs,
        task=plan.task,
        recipe=plan.recipe.replace(seed=seed, precision=precision),
        fraction=plan.fraction,
        curve=[asdict(epoch) for epoch in outcome.epochs],
        deviations=plan.deviations_in(precision),
        seconds=sum(epoch.seconds for epoch in outcome.epochs),
        device=outcome.device,
        environment=outcome.environment or environment(),
        started_at=datetime.datetime.fromisoformat(begun.started_at or started_at),
        published=plan.published,
        study=plan.study,
        trial=plan.trial,
        weights=tested.weights if tested else None,
        scores=tested.scores if tested else {},
    )


class SeedTraining:
    """One training, an epoch at a time, a checkpoint after each. `test` reads the test images, once, when it is over."""

    def __init__(self, plan: Plan, seed: int, device: torch.device, folder: Path, test: Callable[[], Split]) -> None:
        self.plan, self.seed, self.device, self.folder, self.test = plan, seed, device, folder, test
        self.files = Files.of(folder, seed)
        self.started_at = utc_now().isoformat()
        self.precision: str = plan.recipe.precision  # what `auto` comes to is known when the model is built
        self.trainer: Trainer | None = None
        self.checkpoint: Checkpoint | None = None

    def begin(self) -> Begun:
        """Builds the network, from its last checkpoint where there is one."""
        if not self.folder.is_dir():
            host = socket.gethostname()
            raise NasError(
                f"{self.folder}: is not there on {host}; name an --output that all machines of the cluster share"
            )
        plan = self.plan
        state = self._checkpoint()
        seed_everything(self.seed)
        model = compile_model(plan.architecture, plan.dataset.input, plan.dataset.classes)
        if plan.recipe.pretrained and state is None:
            carry(model, start_of(plan.recipe.pretrained))
        elif plan.pretrained and state is None:
            load_pretrained(model, plan.pretrained)
        recipe = plan.recipe.replace(seed=self.seed)
        measured = measured_epochs(recipe.epochs)
        teacher = None if plan.teacher is None else plan.teacher.network(plan.dataset, self.device)
        trainer = self.trainer = Trainer(model, plan.dataset, recipe, self.device, measured=measured, teacher=teacher)
        self.precision = {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[trainer.amp_dtype]
        if state is not None:
            trainer.load_state_dict(state["trainer"])
            self.started_at = state["started_at"]
        trainer.after_batch = self._after_batch
        return Begun(self.precision, tuple(trainer.epochs), self.started_at)

    @property
    def finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        assert self.trainer is not None
        return self.trainer.finished

    def step(self) -> Epoch:
        """An epoch, and a checkpoint after it."""
        assert self.trainer is not None
        assert self.checkpoint is not None
        epoch = self.trainer.step()
        self.checkpoint.save(self._state())
        return epoch

    def finish(self) -> tuple[Verdict, Evaluated]:
        """Reads the test set, and writes weights and confusion matrix. What is written, validated and tested is one network."""
        assert self.trainer is not None
        data, scores = self.plan.dataset, {}
        for part, split in (("test", self.test()), ("validation", data.validation)):
            if not len(split):
                continue
            outputs, targets = self.trainer.predict(split), torch.from_numpy(split.y)
            found = scores[part] = score(data.type, outputs, targets)
            if not math.isfinite(found.value("loss")):
                raise Diverged(f"{part} loss is {found.value('loss')}")
            counts = data.type.confusion(outputs, targets) if part == "test" else None
            if counts is not None:
                write_confusion(self.files.confusion, counts.numpy(), data.class_names)
        save_weights(self.files.weights, self.trainer.network, self._card(scores))
        return Verdict(State.COMPLETE), Evaluated(str(self.files.weights.absolute()), scores)

    @property
    def circumstances(self) -> Mapping[str, str]:
        """See `Trainer`."""
        return {} if self.trainer is None else self.trainer.circumstances

    def close(self) -> None:
        """Lets go of the network."""
        if self.trainer is not None:
            self.trainer.close()
        self.trainer = None
        if self.checkpoint is not None:
            self.checkpoint.close()
            self.checkpoint = None

    def _after_batch(self) -> None:
        assert self.checkpoint is not None
        self.checkpoint.after_batch(self._state)

    def _state(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"started_at": self.started_at, "trainer": self.trainer.state_dict()}

    def _checkpoint(self) -> dict[str, Any] | None:
        identity: dict[str, str | int] = {"key": self.plan.key, "seed": self.seed, "device": self.device.type}
        self.checkpoint = Checkpoint(Kept(self.files.checkpoint, identity))
        try:
            return self.checkpoint.load()
        except Foreign as problem:
            if problem.differs != "device":
                raise
            raise NasError(
                f"{self.files.checkpoint}: was trained on {problem.theirs}; continue with --device {problem.theirs}, or "
                f"remove the file to train from the start on {self.device.type}"
            ) from None

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
            "task": data.type.name,
            "metric": plan.metric,
            **_measured_facts(plan.metric, scores),
            "deviations": [str(deviation) for deviation in plan.deviations_in(self.precision)],
        }
        return Card(plan.architecture, data.input, data.classes, data.class_names, data.mean, data.std, facts)


def _measured_facts(metric: str, scores: Mapping[str, Score]) -> dict[str, float | None]:
    """What weights say of their worth: ``test_accuracy``, or another metric, with its standard error."""
    test = scores["test"]
    facts = {f"test_{metric}": test.value(metric), "test_standard_error": test.error(metric)}
    if "validation" in scores:
        facts[f"{metric}_held_out"] = scores["validation"].value(metric)
    return facts


def write_confusion(path: Path, confusion: Counts, names: tuple[str, ...]) -> None:
    """A table with a row for each true class and a column for each predicted one. Raises NasError."""
    import pandas as pd

    cells = [in_cell(one_line(name)) for name in names]
    try:
        pd.DataFrame(confusion, index=cells, columns=cells).rename_axis("true").to_csv(path)
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
