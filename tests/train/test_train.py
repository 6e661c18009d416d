from __future__ import annotations

import io
import json
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from nas.config.recipe import Augment, Recipe
from nas.data import Batches, Dataset, Task, load, load_test
from nas.data.task_type import CLASSIFICATION
from nas.train import Epoch, Trainer, environment, evaluate, seed_everything
from nas.train.mixup import mixup
from nas.train.precision import cpu_gains_from_bf16, depthwise_share, passes

RECIPE = Recipe(epochs=2, batch_size=64, lr=0.05, precision="fp32", augment=Augment(crop_padding=1, flip=False))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load(Task("digits"))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)
    )


def trained(dataset: Dataset, recipe: Recipe, device: str = "cpu") -> list[Epoch]:
    """The epochs of a training of `network` from the seed of the recipe."""
    seed_everything(recipe.seed)
    trainer = Trainer(network(), dataset, recipe, device)
    while not trainer.finished:
        trainer.step()
    return trainer.epochs


def test_a_small_network_learns_digits(digits: Dataset) -> None:
    first, last = trained(digits, RECIPE)
    assert 0.8 < last.accuracy <= last.top5
    assert [first.epoch, last.epoch] == [1, 2]
    assert last.train_loss < first.train_loss
    assert last.train_accuracy > first.train_accuracy
    assert first.images_per_second > 0


def test_the_same_seed_trains_the_same_network(digits: Dataset) -> None:
    one, two = trained(digits, RECIPE), trained(digits, RECIPE)
    assert [epoch.train_loss for epoch in one] == [epoch.train_loss for epoch in two]
    other = trained(digits, RECIPE.replace(seed=1))
    assert other[0].train_loss != one[0].train_loss


@pytest.mark.parametrize("recipe", [RECIPE, RECIPE.replace(mixup=0.4)], ids=["plain", "mixed"])
def test_training_continues_where_it_was_left(recipe: Recipe, digits: Dataset) -> None:
    def trainer() -> Trainer:
        seed_everything(0)
        return Trainer(network(), digits, recipe)

    whole = trainer()
    whole.step()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    expected = whole.step()
    file.seek(0)
    rest = trainer()
    rest.load_state_dict(torch.load(file, weights_only=True))
    assert rest.step().train_loss == expected.train_loss
    assert rest.finished


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "step", "constant"])
def test_every_optimizer_and_schedule_trains(optimizer: str, schedule: str, digits: Dataset) -> None:
    lr = 0.05 if optimizer == "sgd" else 0.003
    recipe = RECIPE.replace(
        optimizer=optimizer, schedule=schedule, lr=lr, label_smoothing=0.1, clip_norm=1.0, decay_norm_bias=False
    )
    assert trained(digits, recipe)[-1].accuracy > 0.5


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_too(precision: str, digits: Dataset) -> None:
    assert trained(digits, RECIPE.replace(precision=precision, clip_norm=5.0))[-1].accuracy > 0.7


def test_mixed_images_are_of_two_classes_in_their_shares() -> None:
    torch.manual_seed(0)
    x, y = torch.arange(8.0).view(8, 1, 1, 1), torch.arange(8)
    mixed, targets = mixup(x, y, 1.0)
    assert targets.other is not None
    assert 0 < targets.share < 1
    shown = targets.share * targets.y + (1 - targets.share) * targets.other  # an image is the number of its class
    torch.testing.assert_close(mixed.flatten(), shown)
    logits = torch.randn(8, 8)
    both = nn.functional.one_hot(targets.y, 8) * targets.share + nn.functional.one_hot(targets.other, 8) * (
        1 - targets.share
    )
    torch.testing.assert_close(
        targets.loss(partial(CLASSIFICATION.loss, weights=None, smoothing=0.0), logits),
        nn.functional.cross_entropy(logits, both),
    )
    torch.testing.assert_close(
        targets.loss(partial(CLASSIFICATION.loss, weights=None, smoothing=0.1), logits),
        nn.functional.cross_entropy(logits, both, label_smoothing=0.1),
    )


@pytest.mark.parametrize(("epochs", "mixed"), [(1, False), (2, True)])
def test_short_trainings_mix_no_images(epochs: int, mixed: bool, digits: Dataset) -> None:
    plain = RECIPE.replace(epochs=epochs)
    mixing = plain.replace(mixup=0.4, mixup_epochs=2)
    same = trained(digits, plain)[0].train_loss == trained(digits, mixing)[0].train_loss
    assert same is not mixed


def test_weight_decay_spares_norm_and_bias_when_told(digits: Dataset) -> None:
    trainer = Trainer(network(), digits, RECIPE.replace(decay_norm_bias=False, weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert [decay[id(p)] for p in trainer.model.parameters()] == [0.1, 0, 0, 0, 0.1, 0]


def test_the_learning_rate_follows_the_schedule_within_an_epoch(digits: Dataset) -> None:
    trainer = Trainer(network(), digits, RECIPE.replace(schedule="cosine", lr=0.1))
    steps = len(trainer.train_batches)
    lrs = [trainer.step().lr for _ in range(2)]
    expected = [0.05 * (1 + math.cos(math.pi * (epoch - 1 / steps) / 2)) for epoch in (1, 2)]
    assert lrs == pytest.approx(expected)


class _WithDepthwise(nn.Module):
    def __init__(self, kernel: int, dense: int = 1) -> None:
        super().__init__()
        self.wide = nn.Conv2d(1, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, kernel, padding=kernel // 2, groups=16)
        self.dense = nn.Sequential(*(nn.Conv2d(16, 16, 3, padding=1) for _ in range(dense)))
        self.norm = nn.BatchNorm2d(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.dense(self.depthwise(self.wide(x)))).mean((2, 3))


def test_bfloat16_is_chosen_where_the_cpu_gains_by_it(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    share = 25 / (9 + 25 + 2 * 9 * 16)
    assert depthwise_share(passes(_WithDepthwise(5, dense=2), (1, 16, 16))) == pytest.approx(share)
    assert depthwise_share(passes(_WithDepthwise(3), (1, 16, 16))) == 0

    def chosen(model: nn.Module, **recipe: str) -> torch.dtype | None:
        return Trainer(model, digits, Recipe(**recipe)).amp_dtype  # type: ignore[arg-type]

    for gains, slow, fast in ((True, None, torch.bfloat16), (False, None, None)):
        monkeypatch.setattr("nas.train.precision.cpu_gains_from_bf16", lambda gains=gains: gains)
        assert chosen(_WithDepthwise(5)) is slow
        assert chosen(_WithDepthwise(3)) is fast
        assert chosen(_WithDepthwise(5), precision="bf16") is torch.bfloat16
        assert chosen(_WithDepthwise(3), precision="fp32") is None


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "name", "gains"),
    [
        (True, True, "Intel(R) Xeon(R) Platinum 8488C", True),
        (False, True, "Intel(R) Xeon(R) Processor", False),  # a virtual machine that hides AMX
        (False, True, "AMD EPYC 9R14", True),
        (False, False, "AMD EPYC 7R13 Processor", False),
    ],
)
def test_a_cpu_gains_from_bfloat16_where_its_hardware_was_seen_to(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, name: str, gains: bool
) -> None:
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr("nas.train.precision.cpu_name", lambda: name)
    assert cpu_gains_from_bf16() is gains


class _Strided(nn.Module):
    """A convolution whose stride may exceed the map that it gets."""

    def __init__(self, extent: int, stride: int) -> None:
        super().__init__()
        self.shrink = nn.AdaptiveAvgPool2d(extent)
        self.conv = nn.Conv2d(1, 10, 5, stride, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.shrink(x)).mean((2, 3))


@pytest.mark.parametrize(
    ("extent", "stride", "chosen"),
    [(1, 2, None), (3, 4, None), (2, 2, torch.bfloat16), (4, 4, torch.bfloat16), (1, 1, torch.bfloat16)],
)
@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_a_cpu_trains_in_float32_where_its_bfloat16_gradients_are_garbage(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, extent: int, stride: int, chosen: object, precision: str
) -> None:
    """oneDNN reads memory that nobody wrote where a stride exceeds the map."""
    monkeypatch.setattr("nas.train.precision.cpu_gains_from_bf16", lambda: True)
    recipe = Recipe(precision=precision)  # type: ignore[arg-type]
    assert Trainer(_Strided(extent, stride), digits, recipe).amp_dtype is chosen


def test_looking_at_a_model_leaves_it_as_it_was() -> None:
    model = _WithDepthwise(5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    assert passes(model, (1, 16, 16))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_test_images_are_measured_when_asked(digits: Dataset) -> None:
    trainer = Trainer(network(), digits, RECIPE)
    epoch = trainer.step()
    assert trainer.evaluate(digits.validation) == epoch.found
    accuracy, top5, loss = trainer.evaluate(load_test(digits.task)).values()
    assert 0.5 < accuracy <= top5 <= 1
    assert loss > 0


def test_the_environment_says_what_a_result_was_measured_on() -> None:
    values = environment()
    assert values["torch"] == torch.__version__
    assert values["threads"] == torch.get_num_threads()
    assert json.loads(json.dumps(values)) == values


def test_accuracy_is_the_share_of_right_answers(digits: Dataset) -> None:
    class Always(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.nn.functional.one_hot(torch.full((len(x),), 3), 10).float() + torch.arange(10) * 1e-3

    accuracy, top5, _ = evaluate(Always(), Batches(digits.validation, digits, 50)).values()
    labels = digits.validation.y
    assert accuracy == pytest.approx((labels == 3).mean())
    assert top5 == pytest.approx(((labels == 3) | (labels > 5)).mean())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["auto", "fp32", "bf16", "fp16"])
def test_training_on_cuda(precision: str, digits: Dataset) -> None:
    assert trained(digits, RECIPE.replace(precision=precision), "cuda")[-1].accuracy > 0.7


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_streamed_images_train_the_same_network_as_resident_ones(digits: Dataset) -> None:
    losses = []
    for resident in (True, False):
        seed_everything(0)
        trainer = Trainer(network(), digits, RECIPE, "cuda", resident=resident)
        losses.append([trainer.step().train_loss for _ in range(2)])
    assert losses[0] == losses[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_are_sent_to_a_gpu_once(digits: Dataset) -> None:
    first, second = (Batches(digits.train, digits, 64, "cuda") for _ in range(2))
    assert first._x.data_ptr() == second._x.data_ptr()
    assert not Batches(digits.train, digits, 64, "cuda", resident=False)._x.is_cuda


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_continues_on_cuda_where_it_was_left(digits: Dataset) -> None:
    def trainer() -> Trainer:
        seed_everything(0)
        return Trainer(nn.Sequential(nn.Dropout(0.2), network()), digits, RECIPE, "cuda")

    whole = trainer()
    whole.step()
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    expected = whole.step()
    file.seek(0)
    rest = trainer()
    rest.load_state_dict(torch.load(file, weights_only=True, map_location="cuda"))
    assert rest.step().train_loss == expected.train_loss


class _WrongInBfloat16(torch.autograd.Function):
    """A kernel whose gradient is infinite in bfloat16, as oneDNN's are for some convolutions."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, grad: Tensor) -> Tensor:
        return grad * math.inf if grad.dtype == torch.bfloat16 else grad


class _Faulty(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, x: Tensor) -> Tensor:
        return _WrongInBfloat16.apply(self.body(x))


def test_a_cpu_that_computes_wrong_gradients_in_bfloat16_goes_on_in_float32(digits: Dataset) -> None:
    seed_everything(0)
    trainer = Trainer(_Faulty(), digits, RECIPE.replace(precision="bf16", clip_norm=5.0))
    assert trainer.amp_dtype == torch.bfloat16
    while not trainer.finished:
        epoch = trainer.step()
    assert trainer.amp_dtype is None
    assert epoch.accuracy > 0.8
