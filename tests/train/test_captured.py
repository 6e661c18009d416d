"""A recorded step trains the same network, to the bit; what cannot be recorded is trained as always, from where it was.

On a CPU a tape of operations stands in for a CUDA graph (`tests.train.tape`): learning rates, batches and shares that were not
tensors would stay in it what they were.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.config.losses import LOSSES, register_loss
from nas.config.recipe import OPTIMIZERS, Augment, Recipe, register_optimizer
from nas.data import Dataset, Task, fraction_of, load
from nas.errors import NasError
from nas.execution.checkpoint import copied
from nas.execution.options import RayOptions
from nas.train import Trainer, release_memory, seed_everything
from nas.train.captured import REHEARSALS, Captured
from nas.train.cuda_graph import captured
from tests.train.tape import TapeRecorder

RECIPE = Recipe(epochs=2, batch_size=32, lr=0.02, precision="fp32", augment=Augment(crop_padding=1, flip=False))
ADAMW = RECIPE.replace(optimizer="adamw", lr=0.003, schedule="wsd", warmup=0.1)
NAMES = ("train_loss", "train_accuracy", "loss", "accuracy", "lr")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return fraction_of(load(Task("digits")), 0.2)


def network(*more: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), *more, nn.Flatten(), nn.Linear(512, 10)
    )  # fmt: skip


def trainer(
    dataset: Dataset, recipe: Recipe, recorder: TapeRecorder | None, model: Callable[[], nn.Module] = network
) -> Trainer:
    seed_everything(0)
    made = Trainer(model(), dataset, recipe)
    if recorder is not None:
        made.steps = Captured(made.one_step, recipe.batch_size, recorder)
    return made


def trained(made: Trainer) -> Trainer:
    while not made.finished:
        made.step()
    return made


def assert_same(one: Trainer, other: Trainer) -> None:
    for ours, theirs in zip(one.epochs, other.epochs, strict=True):
        assert [getattr(ours, name) for name in NAMES] == [getattr(theirs, name) for name in NAMES]
    for ours, theirs in ((one.network, other.network), (one.model, other.model)):
        values = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
        assert all(torch.equal(*pair) for pair in values)


recipes = pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        RECIPE.replace(nesterov=True, clip_norm=0.5, label_smoothing=0.1, decay_norm_bias=False),
        ADAMW,
        ADAMW.replace(clip_norm=1.0, ema=0.9, mixup=0.4, weight_decay=0.1),
        ADAMW.replace(cutmix=1.0, class_weights="balanced", focal=1.0),
    ],
    ids=["sgd", "sgd clipped", "adamw", "adamw mixed, averaged", "adamw cut and weighed"],
)


@recipes
def test_a_recorded_step_trains_the_same_network(recipe: Recipe, digits: Dataset) -> None:
    tape = TapeRecorder()
    recorded = trained(trainer(digits, recipe, tape))
    batches, short = divmod(len(digits.train), recipe.batch_size)
    assert short > 1, "the last batch is to be a short one"
    assert (tape.recorded, tape.replayed) == (1, 2 * batches - REHEARSALS)
    assert recorded.steps.reason is None
    assert_same(recorded, trained(trainer(digits, recipe, None)))


def test_a_training_goes_on_from_a_checkpoint_in_an_epoch(digits: Dataset) -> None:
    recipe = ADAMW.replace(ema=0.9, mixup=0.4)
    file, done = io.BytesIO(), 0
    stopped = trainer(digits, recipe, TapeRecorder())

    def save_once() -> None:
        nonlocal done
        done += 1
        if done == REHEARSALS + 3:
            assert stopped.steps.replays
            torch.save(copied(stopped.state_dict()), file)

    stopped.after_batch = save_once
    stopped.step()
    file.seek(0)
    state = torch.load(file, weights_only=True)
    tape = TapeRecorder()
    rest = trainer(digits, recipe, tape)
    rest.step()  # has recorded a step on other tensors of the optimizer than those that it goes on with
    rest.load_state_dict(state)
    assert not rest.steps.replays
    trained(rest)
    assert tape.recorded == 2
    assert_same(rest, trained(trainer(digits, recipe, None)))


class _Counts(nn.Module):
    """Multiplies by what Python alone knows."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += self.training
        return x * (1 + 1e-3 * self.calls) if self.training else x


class _Draws(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (0.9 + 0.2 * random.random()) if self.training else x


class _Reads(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.detach().abs().max() > 0) if self.training else x


class _Breaks(nn.Module):
    """Cannot be run a second time in a tape."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return x


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (_Draws, "the step draws from Python's random"),
        (_Reads, "cannot be recorded (RuntimeError: operation not permitted when stream is capturing)"),
        (_Breaks, "cannot be recorded (OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.)"),
    ],
)
def test_what_cannot_be_recorded_is_trained_as_always(block: type[nn.Module], reason: str, digits: Dataset) -> None:
    tape = TapeRecorder()
    recorded = trained(trainer(digits, ADAMW, tape, lambda: network(block())))
    assert recorded.steps.reason is not None
    assert reason in recorded.steps.reason
    assert not tape.replayed
    assert tape.closed
    assert_same(recorded, trained(trainer(digits, ADAMW, None, lambda: network(block()))))


class _Differs(nn.Module):
    """Does something else while it is recorded."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 1.5 if torch.utils._python_dispatch._get_current_dispatch_mode() is not None else x


@pytest.mark.parametrize("block", [_Counts, _Differs])
def test_what_is_recorded_wrongly_is_found_by_its_loss(block: type[nn.Module], digits: Dataset) -> None:
    tape = TapeRecorder()
    recorded = trained(trainer(digits, ADAMW, tape, lambda: network(block())))
    assert recorded.steps.reason == "the recorded step gives another loss than the network"
    assert tape.replayed == 1
    if block is _Differs:
        assert_same(recorded, trained(trainer(digits, ADAMW, None)))


@pytest.fixture
def own() -> Iterator[None]:
    """An optimizer and a loss of a user's own."""

    @register_optimizer("plain_rmsprop", state=1)
    def plain(groups: list[dict[str, object]], recipe: Recipe) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(groups, lr=recipe.lr)

    @register_loss("looks")
    def looks(outputs: Tensor, labels: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(outputs, labels)
        return loss * 2 if loss.item() > 100 else loss

    yield
    OPTIMIZERS.remove("plain_rmsprop")
    LOSSES.remove("looks")


def test_a_loss_that_looks_at_its_value_is_not_recorded(own: None, digits: Dataset) -> None:
    recipe = RECIPE.replace(loss="looks")
    recorded = trained(trainer(digits, recipe, TapeRecorder()))
    assert "operation not permitted" in str(recorded.steps.reason)
    assert_same(recorded, trained(trainer(digits, recipe, None)))


def test_memory_that_is_short_is_taken_from_the_recorded_step(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from nas.train import trainer as module

    tape = TapeRecorder()
    made = trainer(digits, RECIPE, tape)
    evaluate = module.evaluate

    def short(*arguments: object) -> dict[str, float]:
        if made.steps.replays:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return evaluate(*arguments)

    monkeypatch.setattr(module, "evaluate", short)
    trained(made)
    assert made.steps.reason == "no memory to measure the network beside the recorded step"
    assert tape.closed
    monkeypatch.undo()
    assert_same(made, trained(trainer(digits, RECIPE, None)))


def test_a_short_batch_that_has_no_memory_is_tried_again_without_the_recorded_step(digits: Dataset) -> None:
    size = len(digits.train) % RECIPE.batch_size

    class Large(nn.Module):
        failed = False

        def forward(self, x: Tensor) -> Tensor:
            if self.training and len(x) == size and not self.failed:
                Large.failed = True
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return x

    made = trained(trainer(digits, RECIPE, TapeRecorder(), lambda: network(Large())))
    assert made.steps.reason == "no memory for the last batch of an epoch beside the recorded step"
    assert_same(made, trained(trainer(digits, RECIPE, None, lambda: network(Large()))))


def test_a_cpu_replays_nothing(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CUDA_GRAPH", "1")
    made = trainer(digits, RECIPE, None)
    made.step()
    assert not made.steps.replays
    assert made.circumstances == {}


@pytest.mark.parametrize(
    ("switch", "changes", "reason"),
    [
        ("0", {}, "NAS_CUDA_GRAPH is 0"),
        ("1", {"precision": "fp16"}, "float16 scales the loss from step to step"),
        ("1", {"batch_size": 1024}, "no batch is full"),
        ("1", {"optimizer": "plain_rmsprop"}, "takes no learning rate from the GPU"),
        ("auto", {}, "what the network computes is not known"),
    ],
)
def test_on_cuda_the_reason_is_said(
    switch: str, changes: dict[str, Any], reason: str, own: None, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CUDA_GRAPH", switch)
    recipe = RECIPE.replace(**changes)
    made = trainer(digits, recipe, None)
    made.device = made.one_step.device = torch.device("cuda")  # nothing is computed there
    made.steps = captured(made.one_step, recipe.batch_size, len(digits.train))
    said = made.circumstances["cuda_graph"]
    assert said.startswith("not used: ")
    assert reason in said


def test_the_switch_has_three_values(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CUDA_GRAPH", "yes")
    for refused in (lambda: trainer(digits, RECIPE, None), RayOptions):
        with pytest.raises(NasError, match="NAS_CUDA_GRAPH: must be 0, auto or 1, not 'yes'"):
            refused()


def on_cuda(
    monkeypatch: pytest.MonkeyPatch, switch: str, dataset: Dataset, recipe: Recipe, *more: nn.Module
) -> Trainer:
    monkeypatch.setenv("NAS_CUDA_GRAPH", switch)
    seed_everything(0)
    return Trainer(network(*more), dataset, recipe, "cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@recipes
def test_a_cuda_graph_trains_the_same_network(
    recipe: Recipe, precision: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.replace(precision=precision)
    recorded = trained(on_cuda(monkeypatch, "1", digits, recipe))
    assert recorded.circumstances == {"cuda_graph": "used"}
    eager = trained(on_cuda(monkeypatch, "0", digits, recipe))
    assert eager.circumstances == {"cuda_graph": "not used: NAS_CUDA_GRAPH is 0"}
    assert_same(recorded, eager)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_waits_for_the_gpu_is_not_recorded(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = trained(on_cuda(monkeypatch, "1", digits, ADAMW, _Reads()))
    assert recorded.steps.reason == "the step makes the CPU wait for the GPU"
    assert_same(recorded, trained(on_cuda(monkeypatch, "0", digits, ADAMW, _Reads())))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_failed_recording_leaves_the_process_as_it_was(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unrecordable(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.cuda.is_current_stream_capturing():
                torch.cuda.current_stream().synchronize()
            return x

    recorded = trained(on_cuda(monkeypatch, "1", digits, ADAMW, Unrecordable()))
    assert "cannot be recorded" in str(recorded.steps.reason)
    assert_same(recorded, trained(on_cuda(monkeypatch, "0", digits, ADAMW)))
    again = on_cuda(monkeypatch, "1", digits, ADAMW)
    again.step()
    assert again.steps.replays


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_memory_of_a_graph_is_given_back(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def left() -> int:
        made = on_cuda(monkeypatch, "1", digits, RECIPE)
        made.step()
        assert made.steps.replays
        made.close()
        del made
        release_memory()
        return torch.cuda.memory_reserved()

    first = left()
    assert left() <= first
