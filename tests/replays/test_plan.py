"""What a replay does otherwise than its paper is said, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from nas.config.recipe import Augment, Recipe
from nas.data import Task, load
from nas.errors import DataError, RecipeError, SearchError, StudyError
from nas.replays.options import TrainingOptions
from nas.replays.plan import Plan, Shelf, plan_replay, recipe_differences, shortened
from nas.space.published import PublishedConfig
from nas.store.deviations import Deviation
from nas.train import schedule


def plan(config: Path | str, **options: object) -> Plan:
    return plan_replay(PublishedConfig.load(config), TrainingOptions(**options), Shelf())  # type: ignore[arg-type]


def words(deviations: Iterable[Deviation]) -> list[str]:
    return list(map(str, deviations))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(schedule="step", milestones=(100.0, 150.0), warmup_epochs=5.0, epochs=200),
        Recipe(schedule="step", milestones=(0.5, 0.75), epochs=200),
        Recipe(schedule="cosine", warmup_epochs=20.0, epochs=200),
    ],
)
def test_a_shorter_schedule_keeps_its_shape(recipe: Recipe) -> None:
    short = shortened(recipe, 20)
    for share in np.linspace(0.001, 0.999, 40):
        assert schedule(short, 20 * share, 20) == pytest.approx(schedule(recipe, 200 * share, 200))
    assert words(recipe_differences(short, recipe)) == ["20 epochs instead of 200"]


def test_a_milestone_beyond_the_end_stays_beyond_it() -> None:
    short = shortened(Recipe(schedule="step", milestones=(5.0, 10.0), epochs=10), 4)
    assert schedule(short, 3.99, 4) == pytest.approx(0.1)


def test_every_difference_of_a_recipe_is_named() -> None:
    ours = Recipe(lr=0.1, schedule="cosine", augment=Augment(flip=False), epochs=5)
    theirs = Recipe(lr=0.05, schedule="constant", augment=Augment(flip=True), epochs=5)
    assert words(recipe_differences(ours, theirs)) == [
        "lr 0.1 instead of 0.05",
        "schedule cosine instead of constant",
        "augment.flip no instead of yes",
    ]


def test_the_paper_itself_has_no_deviation(config: Path) -> None:
    found = plan(config)
    assert found.deviations == ()
    assert len(found.dataset.train) == 1433  # every training image; none is held out
    assert len(found.dataset.validation) == 0


def test_batch_norm_is_measured_anew_unless_the_config_says_so_itself(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text().replace("norm_images: 2048, ", ""))
    found = plan(config)
    assert (found.recipe.norm_images, words(found.deviations)) == (2048, ["norm_images 2048 instead of 0"])
    recipe = tmp_path / "running.yaml"
    recipe.write_text(
        "{norm_images: 0, lr: 0.2, schedule: step, milestones: [4, 6], batch_size: 64, epochs: 8, precision: fp32, "
        "augment: {crop_padding: 0, flip: false}}"
    )
    assert plan(config, recipe=recipe).recipe.norm_images == 0
    space = next(config.parent.glob("tiny.yaml"))
    space.write_text(space.read_text().replace("norm: batch", "norm: none"))
    assert plan(config).deviations == ()  # nothing to be measured


def test_an_optimizer_that_is_not_known_here_is_refused_before_anything_is_trained(config: Path) -> None:
    with pytest.raises(RecipeError, match="no optimizer 'theirs'; known: sgd, adamw"):
        plan(config, recipe=Recipe.stored({"optimizer": "theirs", "epochs": 2}))


def test_steps_stretch_the_schedule(config: Path) -> None:
    found = plan(config, steps=100)
    assert found.recipe.epochs == 4  # of 23 steps each
    assert found.recipe.milestones == (0.5, 0.75)


def test_other_data_shapes_and_fractions_are_deviations(config: Path) -> None:
    found = plan(config, image_size=16, fraction=0.1, epochs=2, batch_size=32)
    assert words(found.deviations) == [
        "images of 1×16×16 instead of 1×8×8",
        "2 epochs instead of 8",
        "batch_size 32 instead of 64",
        "141 of 1,433 training images, the same share of every class",
    ]
    assert found.deviations[0] == Deviation("images", (1, 16, 16), (1, 8, 8))
    assert found.deviations[-1] == Deviation("training images", 141, of=1433)


def test_papers_are_float32_and_anything_else_is_a_deviation(config: Path, tmp_path: Path) -> None:
    assert plan(config).recipe.precision == "fp32"
    half = plan(config, precision="bf16")
    assert (half.recipe.precision, words(half.deviations)) == ("bf16", ["precision bf16 instead of fp32"])
    assert half.key != plan(config).key
    recipe = tmp_path / "recipe.yaml"  # one that leaves the precision open: what it comes to is known on the device
    recipe.write_text(
        "{lr: 0.2, schedule: step, milestones: [4, 6], batch_size: 64, epochs: 8, augment: {crop_padding: 0, flip: false}}"
    )
    for found in (plan(config, recipe=recipe), plan(config, precision="auto")):
        assert (found.recipe.precision, found.deviations) == ("auto", ())
        assert words(found.deviations_in("bf16")) == ["precision bf16 instead of fp32"]
        assert found.deviations_in("fp32") == ()
    config.write_text(config.read_text().replace("recipe: {lr", "recipe: {precision: bf16, lr"))
    assert plan(config).deviations == ()  # this paper says otherwise
    assert words(plan(config, precision="fp32").deviations) == ["precision fp32 instead of bf16"]


def test_images_held_out_for_curves_are_a_deviation(config: Path) -> None:
    found = plan(config, validation=0.2)
    held = len(found.dataset.validation)
    assert (held, len(found.dataset.train)) == (287, 1433 - 287)
    assert words(found.deviations) == ["287 of 1,433 training images held out for the validation curves"]
    assert found.key != plan(config).key
    less = plan(config, validation=0.2, fraction=0.5)
    assert len(less.dataset.validation) == held
    assert less.deviations == (*found.deviations, Deviation("training images", len(less.dataset.train), of=1146))


def test_claims_are_held_against_their_own_data(config: Path) -> None:
    assert plan(config).on_claimed_data
    assert not plan("kong_aim", data="digits", image_size=16).on_claimed_data


def test_the_share_of_the_paper_is_no_deviation(config: Path) -> None:
    config.write_text(config.read_text() + "fraction: 0.1\n")
    found = plan(config)
    assert (found.fraction, len(found.dataset.train), found.deviations) == (0.1, 141, ())
    more = plan(config, fraction=1.0)
    assert (more.fraction, len(more.dataset.train)) == (1.0, 1433)
    assert words(more.deviations) == [
        "1,433 of 1,433 training images, the same share of every class, where the paper takes 0.1 of them",
    ]
    config.write_text(config.read_text().replace("fraction: 0.1", "fraction: 1.5"))
    with pytest.raises(StudyError, match=r"fraction: must be above 0 and at most 1, not 1.5"):
        plan(config)


def test_a_fraction_has_every_class_and_is_always_the_same(config: Path) -> None:
    first, second = (plan(config, fraction=0.1).dataset for _ in range(2))
    assert first.fingerprint == second.fingerprint
    whole = load(Task("digits", validation=0.0, image_size=8))
    assert np.abs(np.bincount(first.train.y) - 0.1 * np.bincount(whole.train.y)).max() <= 0.5


def test_seeds_share_a_key_and_everything_else_changes_it(config: Path) -> None:
    key = plan(config).key
    assert plan(config, seeds=5).key == key
    assert len({key, *(plan(config, **{name: value}).key for name, value in OTHER.items())}) == 1 + len(OTHER)


OTHER: dict[str, object] = {"epochs": 3, "fraction": 0.5, "image_size": 16, "batch_size": 32}


def test_data_that_cannot_be_had_names_the_remedy() -> None:
    with pytest.raises(
        DataError,
        match=r"data set 'imagenet' is none that can be downloaded; name a folder of its images by --data imagefolder:PATH",
    ):
        plan("balashov_resnet50")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"fraction": 0.0},
        {"fraction": 1.5},
        {"seeds": 0},
        {"device": "gpu"},
        {"threads": 0},
        {"precision": "half"},
    ],
)
def test_options_that_cannot_be(wrong: dict[str, object]) -> None:
    with pytest.raises(SearchError, match=f"{next(iter(wrong))}.*{next(iter(wrong.values()))}"):
        TrainingOptions(**wrong)  # type: ignore[arg-type]
