"""How a model is trained: a recipe is plain data, and a YAML file of its own.

The defaults train small convolutional networks well in few epochs on a laptop: SGD with momentum and a one-cycle schedule
(Smith and Topin 2018, Super-Convergence).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin

from nas.config.yaml_document import Document, FieldError, hints_of
from nas.errors import RecipeError, nearest
from nas.plugins.registry import Registry, adder
from nas.text.sanitize import expanded

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Augment:
    """Random changes of training images, drawn anew for every image of every batch."""

    crop_padding: int = 4
    """Pixels of padding around the image, from which a crop of the old size is taken."""
    padding_mode: Literal["zero", "reflect"] = "zero"
    """What the padding shows: black, or the image mirrored at its border."""
    flip: bool = True
    """Left and right exchanged with probability one half."""
    cutout: int = 0
    """Side of a square that is set to the mean colour, in pixels (DeVries and Taylor 2017); 0 for none."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    crop_scale: float = 1.0
    """Smallest share of an image that a crop of random place, size and shape shows, made as large as the image again (Szegedy et
    al. 2015, Going Deeper with Convolutions, section 6): 1 for none."""
    policy: Literal["none", "rand_augment", "trivial_augment"] = "none"
    """Changes of colour and geometry drawn from a list: two of medium strength (Cubuk et al. 2020, RandAugment), or one of any
    strength (Müller and Hutter 2021, TrivialAugment)."""
    erase: float = 0.0
    """Probability with which a rectangle of 2 to 33 % of an image becomes the mean colour (Zhong et al. 2020, Random Erasing)."""

    def __post_init__(self) -> None:
        """Raises FieldError for a value of the wrong type or outside its range."""
        _check_types(self)
        _need(0 <= self.crop_padding <= 64, "crop_padding", "from 0 to 64 pixels", self.crop_padding)
        _need(0 <= self.cutout <= 512, "cutout", "from 0 to 512 pixels", self.cutout)
        _need(0 <= self.color_jitter < 1, "color_jitter", "at least 0 and below 1", self.color_jitter)
        _need(0 < self.crop_scale <= 1, "crop_scale", "above 0 and at most 1", self.crop_scale)
        _need(0 <= self.erase <= 1, "erase", "from 0 to 1", self.erase)


@dataclass(frozen=True)
class Recipe:
    """Optimizer, schedule, augmentation, batch size, epochs, precision, seed."""

    optimizer: str = "sgd"
    """One of `OPTIMIZERS`."""
    lr: float = 0.05
    """Highest learning rate."""
    momentum: float = 0.9
    """Momentum of SGD; AdamW keeps PyTorch's 0.9 and 0.999."""
    nesterov: bool = False
    weight_decay: float = 5e-4
    decay_norm_bias: bool = True
    """Whether weight decay applies to biases and norm weights too."""
    schedule: Literal["one_cycle", "cosine", "wsd", "step", "constant"] = "one_cycle"
    """`wsd`: warm-up, stable, decay (Hu et al. 2024, MiniCPM, section 4): constant, then a linear fall to 0 over the last
    `decay` of the training. What is measured before the fall does not depend on how long the training will be."""
    warmup_epochs: float = 0.0
    """Linear rise of the learning rate before the schedule starts (one_cycle: length of its rise; 0 means 0.3 of all)."""
    warmup: float = 0.0
    """The same as a share of the training; the longer of the two counts."""
    decay: float = 1 / 3
    """Share of the training in which `wsd` falls."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Where `step` lowers the learning rate: below 1 as a share of the epochs, otherwise in epochs."""
    gamma: float = 0.1
    """Factor of each `step`."""
    label_smoothing: float = 0.0
    focal: float = 0.0
    """Power of one minus the probability of what is right, by which the loss of an answer is multiplied: answers that are right
    already count less (Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4); 0: all count alike."""
    mixup: float = 0.0
    """Images are trained on in pairs, mixed in shares that a Beta distribution with this for both parameters draws anew for every
    batch (Zhang et al. 2018, mixup, equation 2 and section 3); 0: not."""
    cutmix: float = 0.0
    """The same with a rectangle of one image in the place of that of the other (Yun et al. 2019, CutMix, section 3.1). With `mixup`
    beside it each batch is mixed in one of the two ways, as often in this as in that."""
    mixup_epochs: int = 0
    """Epochs below which a training does without it: mixed images are learned more slowly, and less by heart."""
    clip_norm: float = 0.0
    """Largest norm of the gradient; 0 for no limit."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced`: each class counts alike in the loss, however many images it has."""
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    """`shuffle`: each image once an epoch; `balanced`: as many images an epoch, each class as often as any other."""
    ema: float = 0.0
    """Decay a step of an exponential moving average of the weights, which is then what is measured and kept; 0 for none."""
    norm_images: int = 2_048
    """Training images, augmented, over which the statistics of batch norm are measured anew before a network is measured (Wu and
    Johnson 2021, Rethinking "Batch" in BatchNorm, section 3), a quarter of them where the training goes on; 0: its running
    averages, which lag behind the weights."""
    batch_size: int = 128
    epochs: int = 5
    steps: int = 0
    """Steps of the optimizer that a training takes, to the nearest epoch; 0: as many as `epochs` say."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Auto: bf16 on CUDA and on CPUs that gain by it, fp32 elsewhere."""
    channels_last: Literal["auto", "yes", "no"] = "auto"
    augment: Augment = field(default_factory=Augment)
    seed: int = 0
    pretrained: str = ""
    """Weights that networks start from: the published network, where they are, and their fingerprint, with blanks between; empty:
    random ones. A search has it from its space (`--pretrained`), whatever is written here: `nas.network.pretrained.start_of`."""
    frozen: int = 0
    """Stages from the first on whose weights stay as they are; a stage is what works on maps of one size."""
    layer_decay: float = 1.0
    """Share of the learning rate that a stage has of that of the stage behind it: the last one has all of it."""
    loss: str = ""
    """Name of a loss of one's own (`nas.register_loss`), behind which a search writes its fingerprint; empty: that of the task."""
    teacher: str = ""
    """A trained network whose answers are learned too, with a fingerprint of its weights; empty: none. `--teacher` of a
    retraining fills it in."""
    teacher_weight: float = 0.9
    """Share of the loss that is the teacher's: the rest is that of the labels."""
    temperature: float = 4.0
    """What logits are divided by before the teacher's answers are compared with those of the network, so that what it says of the
    less likely classes counts too (Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, equation 1)."""

    def __post_init__(self) -> None:
        """Raises FieldError for a value of the wrong type or outside its range."""
        _check_types(self)
        if self.optimizer not in OPTIMIZERS:
            names = " or ".join(map(repr, OPTIMIZERS))
            _need(False, "optimizer", names, f"{self.optimizer!r}{nearest(self.optimizer, OPTIMIZERS)}")
        _need(self.lr > 0, "lr", "above 0", self.lr)
        _need(0 <= self.momentum < 1, "momentum", "at least 0 and below 1", self.momentum)
        _need(not self.nesterov or self.momentum > 0, "nesterov", "false without momentum", self.nesterov)
        _need(self.weight_decay >= 0, "weight_decay", "at least 0", self.weight_decay)
        _need(0 <= self.label_smoothing < 1, "label_smoothing", "at least 0 and below 1", self.label_smoothing)
        _need(0 <= self.focal <= 10, "focal", "from 0 to 10", self.focal)
        _need(0 <= self.mixup <= 100, "mixup", "from 0 to 100", self.mixup)
        _need(0 <= self.cutmix <= 100, "cutmix", "from 0 to 100", self.cutmix)
        _need(0 <= self.mixup_epochs <= 100_000, "mixup_epochs", "from 0 to 100000", self.mixup_epochs)
        _need(self.clip_norm >= 0, "clip_norm", "at least 0", self.clip_norm)
        _need(1 <= self.batch_size <= 65_536, "batch_size", "from 1 to 65536", self.batch_size)
        _need(1 <= self.epochs <= 100_000, "epochs", "from 1 to 100000", self.epochs)
        _need(0 <= self.steps <= 1_000_000_000, "steps", "from 0 to 1000000000", self.steps)
        _need(self.warmup_epochs >= 0, "warmup_epochs", "at least 0", self.warmup_epochs)
        _need(0 <= self.warmup < 1, "warmup", "at least 0 and below 1", self.warmup)
        _need(0 < self.decay <= 1, "decay", "above 0 and at most 1", self.decay)
        _need(0 <= self.ema < 1, "ema", "at least 0 and below 1", self.ema)
        _need(0 <= self.norm_images <= 1_000_000, "norm_images", "from 0 to 1000000", self.norm_images)
        _need(0 < self.gamma <= 1, "gamma", "above 0 and at most 1", self.gamma)
        _need(0 <= self.frozen <= 100, "frozen", "from 0 to 100", self.frozen)
        _need(0 < self.layer_decay <= 1, "layer_decay", "above 0 and at most 1", self.layer_decay)
        _need(0 < self.teacher_weight <= 1, "teacher_weight", "above 0 and at most 1", self.teacher_weight)
        _need(0 < self.temperature <= 100, "temperature", "above 0 and at most 100", self.temperature)
        if self.loss:
            for name, unused in (("label_smoothing", 0.0), ("focal", 0.0), ("class_weights", "none")):
                value = getattr(self, name)
                _need(value == unused, name, f"{unused!r} with a loss of one's own, which takes none", repr(value))
        _need(all(value > 0 for value in self.milestones), "milestones", "above 0", list(self.milestones))

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Reads a recipe file. Raises RecipeError with file and line."""
        file = expanded(path)
        if not file.exists():
            raise RecipeError(f"{path}: no such recipe file")
        return Document.load(file, RecipeError).dataclass(cls)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote. Raises RecipeError."""
        values = dict(data)
        if isinstance(values.get("milestones"), list):
            values["milestones"] = tuple(values["milestones"])
        if isinstance(values.get("augment"), Mapping):
            values["augment"] = _make(Augment, values["augment"], "augment")
        return _make(cls, values, "recipe")

    @classmethod
    def stored(cls, data: Mapping[str, Any]) -> Recipe:
        """The recipe of a study, whose optimizer may be none that is known here: to read it that is not needed.

        Raises RecipeError.
        """
        name = data.get("optimizer", "sgd")
        if not isinstance(name, str) or name in OPTIMIZERS:
            return cls.from_dict(data)
        recipe = cls.from_dict({**data, "optimizer": "sgd"})
        object.__setattr__(recipe, "optimizer", name)
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is younger than the first studies is there only where it says something."""
        data = dataclasses.asdict(self)
        data["milestones"] = list(self.milestones)
        data["augment"] = _without_defaults(data["augment"], ADDED_TO_AUGMENT)
        return _without_defaults(data, ADDED_LATER)

    def for_images(self, images: int) -> Recipe:
        """The recipe for that many training images: its steps as epochs, at least one."""
        if not self.steps:
            return self
        return self.replace(epochs=max(1, round(self.steps / self.steps_per_epoch(images))), steps=0)

    def steps_per_epoch(self, images: int) -> int:
        """Batches that so many training images make; a single one left over joins the batch before."""
        full, rest = divmod(images, self.batch_size)
        return max(1, full + (rest > 1 or (rest == 1 and self.batch_size == 1)))

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in a training of `epochs`."""
        return max(self.mixup, self.cutmix) > 0 and self.epochs >= self.mixup_epochs

    def replace(self, **changes: Any) -> Recipe:
        """A recipe with these fields changed. Raises RecipeError."""
        return _make(Recipe, {**{key: getattr(self, key) for key in hints_of(Recipe)}, **changes}, "recipe")


ADDED_LATER: Final[dict[str, Any]] = {
    "pretrained": "",
    "frozen": 0,
    "layer_decay": 1.0,
    "focal": 0.0,
    "cutmix": 0.0,
    "loss": "",
    "teacher": "",
    "teacher_weight": 0.9,
    "temperature": 4.0,
}
"""Fields that are not written where they say nothing: the keys of older results stay what they are."""
ADDED_TO_AUGMENT: Final[dict[str, Any]] = {"crop_scale": 1.0, "policy": "none", "erase": 0.0}


def _without_defaults(data: dict[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in later or value != later[name]}


def _make(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    known = hints_of(cls)
    for key in values:
        if key not in known:
            raise RecipeError(f"{what}: unknown key '{key}'{nearest(key, known)}")
    try:
        return cls(**values)
    except FieldError as problem:
        raise RecipeError(f"{what}: {problem}") from None


def _check_types(data: Recipe | Augment) -> None:
    for name, hint in hints_of(type(data)).items():
        value = getattr(data, name)
        if get_origin(hint) is Literal:
            options = get_args(hint)
            if value not in options:
                raise FieldError(
                    name, f"must be {' or '.join(map(repr, options))}, not {value!r}{nearest(value, options)}"
                )
        elif hint is float:
            _need(_is_number(value), name, "a finite number", repr(value))
        elif hint is int:
            _need(isinstance(value, int) and not isinstance(value, bool), name, "a whole number", repr(value))
        elif hint is bool:
            _need(isinstance(value, bool), name, "true or false", repr(value))
        elif get_origin(hint) is tuple:
            _need(isinstance(value, tuple) and all(map(_is_number, value)), name, "a list of numbers", repr(value))
        else:
            _need(isinstance(value, hint), name, "a text" if hint is str else "a mapping", repr(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _need(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise FieldError(name, f"must be {rule}, not {value}")


@dataclass(frozen=True)
class Optimizer:
    """A way to change weights by gradients."""

    make: MakeOptimizer
    state: Callable[[Recipe], int]
    """Numbers that it keeps for each weight: what of a GPU's memory it takes follows from them."""


MakeOptimizer = Callable[[list[dict[str, Any]], Recipe], "torch.optim.Optimizer"]

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", "nas.optimizers", RecipeError)
"""Optimizers by the name that a recipe gives them."""


def register_optimizer(
    name: str, *, state: int | Callable[[Recipe], int] = 2
) -> Callable[[MakeOptimizer], MakeOptimizer]:
    """Adds a function from PyTorch's groups of parameters and a `nas.Recipe` to a `torch.optim.Optimizer` as the optimizer `name`.

    ::

        @nas.register_optimizer("rmsprop", state=1)
        def rmsprop(groups, recipe):
            return torch.optim.RMSprop(groups, lr=recipe.lr)

    The groups say what has weight decay. `state` is how many numbers it keeps for each weight, or a function of the recipe that
    says so. The workers of a search must have it too: it stands in an installed package with an entry point, or beside
    blocks in a file that --blocks names.
    """
    return adder(OPTIMIZERS, name, lambda make: Optimizer(make, state if callable(state) else lambda recipe: state))


# Fused: one call for all tensors. A network of 118 tensors takes 0.3 ms a step on the CPU, otherwise 1.4.
@register_optimizer("sgd", state=lambda recipe: 1 if recipe.momentum else 0)
def _sgd(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    import torch

    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=True)


@register_optimizer("adamw")
def _adamw(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True)
