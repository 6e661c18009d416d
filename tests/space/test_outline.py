"""Networks in a few words: what their papers call them, and the same parameters for every network of a space."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from blocks.base import Scalar
from nas.architecture.cost import Built
from nas.errors import Infeasible, SpaceError
from nas.space.outline import COUNTS, DEPTH, FIRST, KIND, MOST_CHOICES, STAGES, WIDTH, Outlines, Parameter
from nas.space.published import PublishedConfig
from nas.space.space import Assignment, Space
from tests.space.spaces import space_data

SHIPPED = [
    *("attn_cnn", "darts_cell", "dense", "mobile", "nas_bench_201", "nas_bench_macro", "plain", "pretrained_mobile"),
    *("pretrained_resnet", "transformer", "transnas_macro"),
]


def published(name: str) -> dict[str, Scalar]:
    config = PublishedConfig.load(name)
    assert isinstance(config.space, str)
    space = Space.load(config.space)
    plan = space.plan(config.assignment)
    return Outlines(space).of(space.resolve(plan, config.input, config.classes), plan.assignment)


@pytest.mark.parametrize(
    ("name", "layers", "kind"),
    [
        ("resnet18", 18, "none"),
        ("banbury_resnet8", 8, "none"),
        ("balashov_senet50", 50, "se"),
        ("balashov_aicnn", 50, "none"),  # its attention is inside the convolutions
        ("davis_cbam_resnet110", 110, "cbam"),
        ("balashov_densenet121", 121, None),
        ("kong_vgg16", 14, "none"),  # one linear layer behind the convolutions, where VGG has three
        ("mandalika_resnet18", 18, "hierarchical_attention"),
    ],
)
def test_a_network_is_as_deep_as_its_name_says(name: str, layers: int, kind: str | None) -> None:
    """Gates of residual blocks and attention modules are not on the way; they are said apart."""
    outline = published(name)
    assert outline[DEPTH] == layers
    assert outline.get(KIND) == kind


def test_what_a_vision_engineer_would_say_of_a_network() -> None:
    assert published("kong_aim_cam") == {
        DEPTH: 13,
        WIDTH: 512,
        FIRST: 64,
        STAGES: 4,
        COUNTS["convolution"]: 8,
        COUNTS["residual"]: 0,
        COUNTS["attention"]: 4,
        COUNTS["downsampling"]: 4,
        KIND: "cam",
        "stem": "plain",
        "body": "plain",
        "neck.present": False,
        "head.dropout": 0.4,
        "head.pool": "flatten",
    }


def drawn(space: Space, number: int, seed: int = 0) -> Iterator[tuple[Built, Assignment]]:
    rng = random.Random(seed)
    for _ in range(50 * number):
        plan = space.walk(lambda name, options: rng.choice(options.admissible), mend=True)
        try:
            yield space.resolve(plan), plan.assignment
        except Infeasible:
            continue
        number -= 1
        if not number:
            return


def fits(parameter: Parameter, value: Scalar) -> bool:
    if parameter.options:
        return any(type(value) is type(option) and value == option for option in parameter.options)
    return isinstance(value, int) and parameter.low <= value <= parameter.high


@pytest.mark.parametrize("name", SHIPPED)
def test_every_network_of_a_space_has_the_same_few_parameters(name: str) -> None:
    space = Space.load(name)
    outlines = Outlines(space)
    assert len(outlines.parameters) <= 20
    for built, assignment in drawn(space, 8):
        outline = outlines.of(built, assignment)
        assert list(outline) == list(outlines.parameters)
        wrong = {key: value for key, value in outline.items() if not fits(outlines.parameters[key], value)}
        assert not wrong


@pytest.mark.parametrize("name", SHIPPED)
def test_choices_that_every_network_takes_are_in_its_outline(name: str) -> None:
    space = Space.load(name)
    rng = random.Random(0)
    met = [space.sample(rng).keys() for _ in range(200)]
    always = set.intersection(*map(set, met))
    assert Outlines(space).parameters.keys() & set().union(*met) == (always if len(always) <= MOST_CHOICES else set())


@settings(max_examples=60, deadline=None)
@given(space_data())
def test_a_choice_that_some_network_lacks_is_in_no_outline(data: dict[str, Any]) -> None:
    with suppress(SpaceError):
        space = Space.from_dict(data)
        outlines = Outlines(space)
        for built, assignment in drawn(space, 20):
            assert outlines.of(built, assignment).keys() == outlines.parameters.keys()


def test_blocks_of_no_family_are_counted_as_others() -> None:
    space = Space.from_dict(
        {
            "name": "of_no_family",
            "input": [3, 8, 8],
            "graph": {
                "stem": {"block": "conv", "channels": 8},
                "norms": {"block": "norm_act", "repeat": {"choose": [0, 2]}},
                "head": {"block": "classifier"},
            },
        }
    )
    plan = space.plan({"norms.repeat": 2})
    outline = Outlines(space).of(space.resolve(plan), plan.assignment)
    assert outline == {DEPTH: 2, WIDTH: 8, FIRST: 8, STAGES: 1, COUNTS[""]: 2, "norms.repeat": 2}
