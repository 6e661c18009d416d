"""What a network is worth is measured with statistics and weights that belong together, on images that can tell it."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nas.architecture.compile import compile_model
from nas.config.recipe import Augment, Recipe
from nas.data import Batches, Dataset, Task, load
from nas.data.task import make_dataset, validation_share
from nas.errors import Infeasible
from nas.space.space import Space
from nas.states import State
from nas.statistics.proportion import standard_error, with_error
from nas.train import Trainer, evaluate, seed_everything
from nas.train.averages import Averaged, recalibrate
from nas.train.precision import amp_dtype, has_dilation
from nas.train.schedule import schedule

RECIPE = Recipe(epochs=2, batch_size=64, lr=0.05, precision="fp32", augment=Augment(crop_padding=1, flip=False))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(Task("digits"))


def network() -> nn.Module:
    """With dropout, whose noise would show in statistics that were measured as in training."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3),
        nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


# Statistics of batch norm ---------------------------------------------------------------------------------------------


def test_a_network_with_stale_statistics_is_measured_as_what_it_is(digits: Dataset) -> None:
    seed_everything(0)
    trainer = Trainer(network(), digits, RECIPE)
    accuracy = [trainer.step() for _ in range(2)][-1].accuracy
    assert accuracy > 0.8
    for norm in (module for module in trainer.model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.running_mean.fill_(3.0)  # type: ignore[union-attr]
        norm.running_var.fill_(50.0)  # type: ignore[union-attr]
    stale = trainer.evaluate(digits.validation)["accuracy"]
    assert stale < accuracy - 0.3
    trainer.settle()
    assert trainer.evaluate(digits.validation)["accuracy"] == accuracy


@pytest.mark.parametrize("sampling", ["shuffle", "balanced"])
def test_statistics_are_of_images_as_the_network_has_seen_them(
    digits: Dataset, sampling: Literal["shuffle", "balanced"]
) -> None:
    """Shifted digits have dark borders: over whole ones a ResNet-8 on 2,000 photos lost five points."""
    recipe = RECIPE.replace(augment=Augment(crop_padding=6, flip=False), sampling=sampling)
    seed_everything(0)
    trainer = Trainer(network(), digits, recipe)
    trainer.settle()
    first = trainer.model[0]
    seen = torch.cat([first(x) for x, _ in trainer.train_batches]).mean((0, 2, 3))
    whole = torch.cat([first(x) for x, _ in Batches(digits.train, digits, 512)]).mean((0, 2, 3))
    measured = copied(trainer.model)["1.running_mean"]
    assert (measured - seen).norm() < 0.1 * (whole - seen).norm()
    trainer.settle()
    assert torch.equal(measured, copied(trainer.model)["1.running_mean"])


def test_statistics_are_the_means_over_the_batches_and_nothing_else_changes(digits: Dataset) -> None:
    seed_everything(1)
    model = network()
    model[3].eval()  # a mode that somebody chose
    modes = [module.training for module in model.modules()]
    before, random = copied(model), torch.get_rng_state()
    batches = list(Batches(digits.train, digits, 200))
    recalibrate(model, batches)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)  # nothing was dropped
    after = copied(model)
    norms = ("1.running_mean", "1.running_var", "1.num_batches_tracked")
    norms += ("5.running_mean", "5.running_var", "5.num_batches_tracked")
    assert all(torch.equal(value, before[name]) for name, value in after.items() if name not in norms)
    with torch.no_grad():
        maps = [model[0](x) for x, _ in batches]
    assert torch.allclose(after["1.running_mean"], torch.stack([x.mean((0, 2, 3)) for x in maps]).mean(0), atol=1e-5)
    assert torch.allclose(after["1.running_var"], torch.stack([x.var((0, 2, 3)) for x in maps]).mean(0), atol=1e-4)
    assert [module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)] == [0.1, 0.1]
    recalibrate(model, batches)
    assert all(torch.allclose(value, after[name]) for name, value in copied(model).items())


def test_without_batches_or_norms_nothing_happens() -> None:
    model = network()
    before = copied(model)
    recalibrate(model, iter(()))
    assert all(torch.equal(value, before[name]) for name, value in copied(model).items())
    plain = nn.Linear(4, 2)
    recalibrate(plain, iter([(torch.ones(3, 4), torch.ones(3))]))


def test_a_model_that_breaks_on_the_way_keeps_its_modes() -> None:
    model = network()
    with pytest.raises(RuntimeError):
        recalibrate(model, iter([(torch.ones(2, 3, 16, 16), torch.ones(2))]))
    assert all(module.training for module in model.modules())
    assert all(module.momentum == 0.1 for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_measuring_does_not_change_what_is_learned(digits: Dataset) -> None:
    losses = []
    for measured in ((1, 2, 3), (3,)):
        seed_everything(0)
        trainer = Trainer(network(), digits, RECIPE.replace(epochs=3, ema=0.9), measured=measured)
        losses.append([trainer.step().train_loss for _ in range(3)])
    assert losses[0] == losses[1]


def test_only_wanted_epochs_and_the_last_are_measured(digits: Dataset) -> None:
    trainer = Trainer(network(), digits, RECIPE.replace(epochs=4), measured=(2,))
    found = [trainer.step().accuracy for _ in range(4)]
    assert [math.isfinite(accuracy) for accuracy in found] == [False, True, False, True]
    assert [trainer.is_measured(epoch) for epoch in (1, 2, 3, 4)] == [False, True, False, True]


# Averaged weights -----------------------------------------------------------------------------------------------------


def test_the_average_follows_its_formula() -> None:
    model = nn.Linear(3, 2)
    averaged = Averaged(model, 0.9)
    expected = model.weight.detach().clone().double()
    for step in range(1, 121):
        with torch.no_grad():
            model.weight.copy_(torch.randn(2, 3))
        averaged.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    assert torch.allclose(averaged.model.weight.double(), expected, atol=1e-6)  # type: ignore[union-attr, operator]
    assert not any(parameter.requires_grad for parameter in averaged.model.parameters())


def test_what_is_measured_is_the_average(digits: Dataset) -> None:
    seed_everything(0)
    trainer = Trainer(network(), digits, RECIPE.replace(ema=0.95))
    epoch = [trainer.step() for _ in range(2)][-1]
    assert trainer.network is not trainer.model
    found = evaluate(trainer.network, Batches(digits.validation, digits, 512))["accuracy"]
    assert found == epoch.accuracy
    logits = trainer.predict(digits.validation)
    assert (logits.argmax(1).numpy() == digits.validation.y).mean() == pytest.approx(epoch.accuracy)


def test_a_checkpoint_with_an_average_goes_on_bit_for_bit(digits: Dataset) -> None:
    def trainer() -> Trainer:
        seed_everything(0)
        return Trainer(network()[:3].append(nn.Flatten()).append(nn.Linear(1024, 10)), digits, recipe)  # type: ignore[operator]

    recipe = RECIPE.replace(ema=0.99, schedule="wsd", warmup=0.1, sampling="balanced", epochs=3)
    whole = trainer()
    whole.step()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    expected = [whole.step(), whole.step()]
    rest = trainer()
    file.seek(0)
    rest.load_state_dict(torch.load(file, weights_only=True))
    found = [rest.step(), rest.step()]
    names = ("train_loss", "loss", "accuracy")
    assert [[getattr(epoch, name) for name in names] for epoch in found] == [
        [getattr(epoch, name) for name in names] for epoch in expected
    ]
    ours, theirs = copied(rest.network), copied(whole.network)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


# Classes of other sizes -----------------------------------------------------------------------------------------------


def uneven() -> Dataset:
    """300, 60 and 12 images of three classes."""
    counts = (300, 60, 12)
    y = np.repeat(np.arange(3), counts)
    x = np.random.default_rng(0).integers(0, 255, (len(y), 1, 8, 8), dtype=np.uint8)
    return make_dataset(Task("digits", validation=0.25), x, y, ("a", "b", "c"))


def seen(batches: Batches) -> Tensor:
    return torch.cat([y for _, y in batches])


def test_balanced_sampling_draws_each_class_alike_and_an_epoch_stays_as_long() -> None:
    data = uneven()
    batches = Batches(data.train, data, 32, shuffle=True, balanced=True, seed=3)
    drawn = torch.cat([seen(batches) for _ in range(12)])
    assert len(drawn) == 12 * len(data.train)
    shares = torch.bincount(drawn).double() / len(drawn)
    assert torch.allclose(shares, torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.04)
    plain = Batches(data.train, data, 32, shuffle=True, seed=3)
    assert torch.bincount(seen(plain)).tolist() == np.bincount(data.train.y).tolist()
    again = Batches(data.train, data, 32, shuffle=True, balanced=True, seed=3)
    assert torch.equal(seen(again), drawn[: len(data.train)])


def test_class_weights_make_each_class_count_alike() -> None:
    data = uneven()
    trainer = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), data, RECIPE.replace(class_weights="balanced"))
    assert trainer.class_weights is not None
    sums = trainer.class_weights.numpy() * np.bincount(data.train.y)
    assert np.allclose(sums, len(data.train) / 3)
    assert trainer.step().train_loss > 0
    assert Trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), data, RECIPE).class_weights is None


# Schedule -------------------------------------------------------------------------------------------------------------


def test_warm_up_stable_decay() -> None:
    recipe = Recipe(schedule="wsd", warmup=0.1, decay=0.25, epochs=40)
    factors = {epoch: schedule(recipe, epoch, 40) for epoch in (0, 2, 4, 15, 30, 35, 40)}
    expected = {0: 1e-4, 2: 0.5, 4: 1.0, 15: 1.0, 30: 1.0, 35: 0.5, 40: 1e-4}
    assert factors == pytest.approx(expected)
    # up to the fall it does not depend on how long the training will be, but for the warm-up
    other = replace(recipe, warmup=0.0, warmup_epochs=4.0)
    assert [schedule(other, epoch, 400) for epoch in (2, 15, 30)] == [
        schedule(other, epoch, 40) for epoch in (2, 15, 30)
    ]


# Validation images and the verdict ------------------------------------------------------------------------------------


@given(st.integers(2, 3_000_000))
def test_the_share_that_is_held_out_lies_between_a_tenth_and_a_quarter(images: int) -> None:
    share = validation_share(images)
    assert 0.1 <= share <= 0.25
    if 4_000 <= images <= 10_000:
        assert share * images == pytest.approx(1_000, rel=0.001)


def test_a_standard_error_is_the_spread_over_other_images() -> None:
    rng = np.random.default_rng(0)
    for accuracy, images in ((0.75, 250), (0.9, 1_000), (0.5, 40)):
        spread = (rng.binomial(images, accuracy, 20_000) / images).std()
        assert standard_error(accuracy, images) == pytest.approx(spread, rel=0.05)
    assert 0 < standard_error(1.0, 100) < 0.02
    assert with_error(0.742, 530) == "74.2 ± 1.9 %"
    assert with_error(0.742, None) == "74.20%"


def images(counts: tuple[int, ...]) -> Dataset:
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.zeros((len(y), 1, 8, 8), dtype=np.uint8)
    return make_dataset(Task("digits", validation=0.25), x, y, tuple("abcdefgh"[: len(counts)]))


def untrained(data: Dataset, accuracy: float, loss: float) -> str | None:
    found = {"accuracy": accuracy, "loss": loss}
    return data.type.untrained(data.measured_labels, data.classes, found)


def test_what_is_no_better_than_the_commonest_class_is_untrained() -> None:
    data = images((1200, 400, 400))  # the commonest class has 60 % of 500 validation images
    assert untrained(data, 0.60, 1.0) == "accuracy 60.0% is not above chance: the commonest class alone gives 60.0%"
    assert untrained(data, 0.64, 1.0) is not None  # two standard errors are 4.4 points
    assert untrained(data, 0.66, 1.0) is None
    assert untrained(images((1000, 1000)), 0.60, 1.0) is None


def test_a_loss_that_exploded_is_untrained() -> None:
    data = images((1000, 1000))
    problem = untrained(data, 0.9, 68_731.0)
    assert problem == "validation loss 6.87e+04 has exploded: a guess has 0.69"
    assert untrained(data, 0.9, math.nan) is not None
    assert untrained(data, 0.9, 2.0) is None


class Constant(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.expand(len(x), 10) + self.factor * x.mean()


@pytest.mark.parametrize(("make", "state"), [(network, State.COMPLETE), (lambda: Constant(0.0), State.UNTRAINED)])
def test_a_training_ends_with_its_verdict(make: Any, state: State, digits: Dataset) -> None:
    seed_everything(0)
    trainer = Trainer(make(), digits, RECIPE)
    while not trainer.finished:
        trainer.step()
    verdict = trainer.verdict()
    assert verdict.state is state
    assert ("is not above chance" in verdict.reason) is (state is State.UNTRAINED)


# bfloat16 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_attn_cnn() -> list[nn.Module]:
    import random

    space, rng = Space.load("attn_cnn").limit(parameters=300_000), random.Random(0)
    found = []
    for assignment in drawn(space, rng):
        try:
            found.append(compile_model(space.from_assignment(assignment, (1, 16, 16), 10), (1, 16, 16), 10))
        except Infeasible:  # no room in images so small
            continue
        if len(found) == 25:
            break
    return found


def drawn(space: Space, rng: Any) -> Iterator[Any]:
    while True:
        yield space.sample(rng)


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_no_network_with_a_dilated_convolution_trains_in_bfloat16_on_a_cpu(
    of_attn_cnn: list[nn.Module], monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Its gradients are wrong there: oneDNN, PyTorch 2.14.1, AVX512-BF16."""
    monkeypatch.setattr("nas.train.precision.cpu_gains_from_bf16", lambda: True)
    recipe = Recipe(precision=precision)  # type: ignore[arg-type]
    chosen = [
        (has_dilation(model), amp_dtype(recipe, torch.device("cpu"), model, (1, 16, 16))) for model in of_attn_cnn
    ]
    dilated = [dtype for there, dtype in chosen if there]
    assert len(dilated) >= 3
    assert set(dilated) == {None}
    assert torch.bfloat16 in {dtype for there, dtype in chosen if not there}
