"""A metric and a loss of one's own: as functions from Python, and by name from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nas
from nas.config import block_files
from nas.config.block_files import OwnBlocks, load_blocks
from nas.config.losses import LOSSES, check_loss, loss_text, name_of, same_loss
from nas.config.own_functions import noted, origins_of, with_functions
from nas.config.recipe import Recipe
from nas.config.recipe_presets import fitted
from nas.data import Dataset, Split, Task
from nas.data.metrics import METRICS, check_metric
from nas.errors import BlockError, NasError, RecipeError, SearchError
from nas.objectives import BUILT_IN, OBJECTIVES
from nas.searches.options import SearchOptions
from nas.train import Trainer

LABELS = np.arange(20) % 4
FILE = """\
import torch
import nas

@nas.register_loss("squares")
def squares(outputs, labels):
    return ((outputs.softmax(1) - torch.nn.functional.one_hot(labels, outputs.shape[1])) ** 2).sum(1).mean()

@nas.register_metric("second_class", direction="minimize", range=(0.0, 2.0))
def second_class(probabilities, labels):
    return probabilities[:, 1].mean()
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test adds is not there after it."""
    known = set(LOSSES), set(METRICS)
    yield
    for registry, before in zip((LOSSES, METRICS), known, strict=True):
        for name in set(registry) - before:
            registry.remove(name)  # type: ignore[attr-defined]
    for name in set(OBJECTIVES) - BUILT_IN:
        del OBJECTIVES[name]
    block_files._loaded.clear()


def tilted(power: float) -> Callable[[Tensor, Tensor], Tensor]:
    def tilted_loss(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels) ** power

    return tilted_loss


def sharpness(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(probabilities.max(1).mean())


def test_functions_take_the_place_of_names() -> None:
    options = SearchOptions("plain", metric=sharpness, loss=tilted(1.0))
    assert (options.metric, options.loss) == ("sharpness", "tilted_loss")
    assert options.objectives == ("sharpness", "parameters")
    assert SearchOptions("plain", metric=sharpness).metric == "sharpness", "handed over again"
    module = SearchOptions("plain", loss=nn.CrossEntropyLoss(label_smoothing=0.1))
    assert module.loss == "CrossEntropyLoss"


def test_a_file_gives_both_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    options = SearchOptions("plain", blocks=[str(tmp_path / "mine.py")], metric="second_class", loss="squares")
    assert options.objectives == ("second_class", "parameters")
    assert OBJECTIVES["second_class"].direction == "minimize"
    sent = with_functions(OwnBlocks(), [*noted("metric", ["second_class"]), *noted("loss", ["squares"])])
    assert sent.functions == (), "workers get the file"
    with pytest.raises(NasError, match=r"no loss 'square'; known: .*squares; did you mean 'squares'"):
        SearchOptions("plain", loss="square")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"metric": lambda p, y: 0.0},
            "metric: must be a function made with def, or its name, not function '<lambda>'",
        ),
        ({"loss": max}, "loss: must be a function made with def, or its name, not builtin_function_or_method 'max'"),
        ({"loss": 5}, "loss: must be a text or a function, not 5"),
    ],
)
def test_what_is_no_function_with_a_name(options: dict[str, object], said: str) -> None:
    with pytest.raises(SearchError, match=said):
        SearchOptions("plain", **options)  # type: ignore[arg-type]


def test_a_network_is_trained_by_it() -> None:
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8), np.arange(40) % 4)
    data = Dataset(Task("digits"), split, split, ("a", "b", "c", "d"), (0.5,), (0.25,))
    name = name_of(tilted(3.0))
    recipe = Recipe(loss=loss_text(name), lr=1e-9, epochs=1, batch_size=40, augment=nas.Augment(0, flip=False))
    epoch = Trainer(nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), data, recipe).step()
    assert epoch.train_loss == pytest.approx(epoch.loss**3, rel=1e-4), "measured by the loss of the task as ever"


def test_a_recipe_remembers_which_version() -> None:
    first = loss_text(name_of(tilted(3.0)))
    assert first.startswith("tilted_loss ")
    assert loss_text(name_of(tilted(3.0))) == first, "the same made again"
    assert fitted(Recipe(loss="tilted_loss"), 100, nas.Augment()).loss == first
    assert Recipe.from_dict(Recipe(loss=first).to_dict()).loss == first
    name_of(tilted(2.0))
    with pytest.raises(RecipeError, match="loss 'tilted_loss': is another version than that of the recipe"):
        same_loss(first)
    with pytest.raises(RecipeError, match=r"no loss 'gone'; known: .*; give the file that has it with --blocks FILE"):
        same_loss("gone 0123456789abcdef")
    with pytest.raises(RecipeError, match=r"label_smoothing: must be 0\.0 with a loss of one's own"):
        Recipe().replace(loss="mine", label_smoothing=0.1)


def test_modules_with_other_weights_are_other_losses() -> None:
    plain = loss_text(name_of(nn.CrossEntropyLoss()))
    assert loss_text(name_of(nn.CrossEntropyLoss())) == plain
    assert loss_text(name_of(nn.CrossEntropyLoss(torch.tensor([1.0, 2.0])))) != plain


def test_a_study_tells_another_version_of_a_metric() -> None:
    from nas.config.own_functions import check_functions

    SearchOptions("plain", metric=sharpness)
    begun = origins_of(noted("metric", ["sharpness"]))
    check_functions("mine", begun, begun)
    other = {"metric:sharpness": nas.config.block_files.Origin("mine.py", "0" * 64)}  # type: ignore[attr-defined]
    with pytest.raises(BlockError, match="study 'mine' was begun with another version of the metric 'sharpness'"):
        check_functions("mine", begun, other)


def test_what_gives_no_number_is_told_before_anything_is_trained() -> None:
    def crooked(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, reduction="none")

    def stiff(outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs.detach(), labels)

    def broken(*arguments: object) -> float:
        raise ValueError("not\nthis way")

    for loss, said in (
        (crooked, r"loss 'crooked': must be one finite number, the mean over a batch, not a tensor \(8,\)"),
        (stiff, "loss 'stiff': has no gradient"),
        (broken, r"loss 'broken': ValueError for outputs \(8, 4\) and labels \(8,\): 'not this way'"),
    ):
        with pytest.raises(RecipeError, match=said):
            check_loss(name_of(loss), (4,), LABELS)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match=r"metric 'broken': ValueError for probabilities \(20, 4\) and labels"):
        check_metric(str(SearchOptions("plain", metric=broken).metric), LABELS, 4)


def test_blocks_with_a_loss_alone_are_a_file_of_blocks(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text(FILE + "# a text of its own\n")
    assert load_blocks(tmp_path / "loss.py") == []
    assert "squares" in LOSSES
