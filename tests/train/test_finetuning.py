"""Stages that stay as they are, and learning rates by depth."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nas.architecture.compile import compile_model
from nas.config.recipe import Augment, Recipe
from nas.config.recipe_presets import finetune, modern
from nas.data import Dataset, Task, load
from nas.data.task import Split
from nas.errors import RecipeError
from nas.space.space import Space
from nas.train import Trainer, seed_everything
from nas.train.schedule import stages

RECIPE = Recipe(optimizer="sgd", lr=0.1, schedule="constant", batch_size=16, epochs=1, precision="fp32", norm_images=0)


@pytest.fixture(scope="module")
def few() -> Dataset:
    """Some digits."""
    data = load(Task("digits"))
    index = np.arange(48)
    return replace(
        data,
        train=Split(data.train.x[index], data.train.y[index]),
        validation=Split(data.train.x[:0], data.train.y[:0]),
    )


def _network() -> nn.Module:
    space = Space.load("plain", shapes=False)
    wanted = {"network": "resnet8", "network.resnet8.stem.channels": 16, "network.resnet8.stem.stride": 1}
    seed_everything(0)
    return compile_model(space.from_assignment(wanted, (1, 16, 16), 10), (1, 16, 16), 10)


def test_a_stage_is_what_works_on_maps_of_one_size() -> None:
    found = stages(_network())
    by_node = {name.split(".")[1] if name.startswith("network") else "head": stage for name, stage in found.items()}
    assert by_node == {"stem": 0, "first": 0, "second": 1, "third": 2, "head": 2}


def test_frozen_stages_stay_as_they_are(few: Dataset) -> None:
    model = _network()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    Trainer(model, few, RECIPE.replace(frozen=2, weight_decay=0.1)).step()
    changed = {name.split(".")[1] for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"third", "layers"}, "the last stage and the classifier"


def test_a_network_must_have_a_stage_left_to_learn(few: Dataset) -> None:
    with pytest.raises(RecipeError, match="frozen: the network has 3 stages, the last of which must learn, not 3"):
        Trainer(_network(), few, RECIPE.replace(frozen=3))


def test_the_learning_rate_falls_towards_the_first_stage(few: Dataset) -> None:
    trainer = Trainer(_network(), few, RECIPE.replace(layer_decay=0.5, decay_norm_bias=False))
    epoch = trainer.step()
    rates = {round(group["lr"], 6): len(group["params"]) for group in trainer.optimizer.param_groups}
    assert sorted(rates) == [0.025, 0.05, 0.1]
    assert epoch.lr == pytest.approx(0.1), "the rate of the recipe is that of the last stage"


def test_a_rate_of_its_own_moves_the_first_stage_less(few: Dataset) -> None:
    def moved(recipe: Recipe) -> float:
        model = _network()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        Trainer(model, few, recipe).step()
        return sum(
            float((p.detach() - before[name]).norm())
            for name, p in model.named_parameters()
            if name.startswith("network.stem")
        )

    assert moved(RECIPE.replace(layer_decay=0.1)) < moved(RECIPE) / 10


def test_fine_tuning_takes_few_steps_at_a_low_rate() -> None:
    ours, usual = finetune(800, Augment()), modern(800, Augment())
    assert ours.steps < usual.steps / 5
    assert ours.lr < usual.lr


def test_recipes_of_before_are_written_as_they_were() -> None:
    """The keys of results in databases are made of this: what is not used is not in them."""
    assert not {"pretrained", "frozen", "layer_decay"} & Recipe().to_dict().keys()
    used = Recipe(pretrained="a b c", frozen=1, layer_decay=0.7)
    assert Recipe.from_dict(used.to_dict()) == used
    assert dataclasses.asdict(Recipe.from_dict(Recipe().to_dict())) == dataclasses.asdict(Recipe())


@pytest.mark.parametrize(
    ("field", "value"), [("frozen", -1), ("layer_decay", 0.0), ("layer_decay", 1.5), ("frozen", 1.5)]
)
def test_values_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"{field}: must be"):
        Recipe().replace(**{field: value})
