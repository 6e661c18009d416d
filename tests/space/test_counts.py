"""Bounds on how often options are taken."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nas.errors import AssignmentError, SpaceError
from nas.searches.proposer import Proposer
from nas.space.space import Assignment, Space
from tests.space.spaces import space_data


def _key(assignment: Assignment) -> tuple[Any, ...]:
    return tuple(sorted((name, repr(value)) for name, value in assignment.items()))


def _read(data: dict[str, Any], folder: Path) -> Space:
    """The space of this data, whether its shapes meet or not."""
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return Space.load(path, shapes=False)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(data=space_data(), draw=st.data())
def test_a_space_with_counts_is_what_is_left_of_the_one_without(
    data: dict[str, Any], draw: st.DataObject, tmp_path: Path
) -> None:
    free = _read(data, tmp_path)
    assume(1 < free.size <= 400)
    every = list(free.enumerate())
    shared = tuple(f"{name}." for name in ("inner", "outer"))
    names = sorted({name for assignment in every for name in assignment if not name.startswith(shared)})
    assume(names)
    rules = {}
    for number in range(draw.draw(st.integers(1, 2))):
        name = draw.draw(st.sampled_from(names))
        taken = sorted({assignment[name] for assignment in every if name in assignment}, key=repr)
        pattern = ".".join("*" if part.isdigit() else part for part in name.split("."))
        least = draw.draw(st.integers(0, 2))
        most = draw.draw(st.sampled_from([{}, {"max": least}, {"max": least + 1}]))
        rules[f"rule{number}"] = {"choice": pattern, "option": draw.draw(st.sampled_from(taken)), "min": least, **most}

    def keeps(assignment: Assignment) -> bool:
        for rule in rules.values():
            count = sum(
                repr(value) == repr(rule["option"])
                for name, value in assignment.items()
                if ".".join("*" if part.isdigit() else part for part in name.split(".")) == rule["choice"]
            )
            if not rule["min"] <= count <= rule.get("max", count):
                return False
        return True

    left = {_key(assignment) for assignment in every if keeps(assignment)}
    if not left:
        with pytest.raises(SpaceError, match="no assignment meets them"):
            _read({**data, "counts": rules}, tmp_path)
        return
    space = _read({**data, "counts": rules}, tmp_path)
    found = [_key(assignment) for assignment in space.enumerate()]
    assert sorted(found) == sorted(left)
    assert space.size == len(left)
    rng = random.Random(0)
    for _ in range(10):
        assert _key(space.sample(rng)) in left
        assert _key(space.sample_evenly(rng)) in left
    for assignment in every[:50]:
        if keeps(assignment):
            assert space.plan(assignment).assignment == assignment
        else:
            with pytest.raises(AssignmentError, match="rule"):
                space.plan(assignment)


SPACE = """\
name: chain
input: [1, 8, 8]
graphs:
  layer:
    op: {choose: {skip: {block: identity}, small: {block: conv, kernel_size: 1}, large: {block: conv}}}
graph:
  stem: {block: conv, channels: 4}
  body: {graph: layer, repeat: {choose: [2, 3]}}
  head: {block: classifier, pool: average}
counts:
  heavy: {choice: body.*.op, option: [large], min: 1, max: 1}
"""


@pytest.fixture
def chain(tmp_path: Path) -> Space:
    """2·2 + 3·2·2 = 16 assignments."""
    path = tmp_path / "chain.yaml"
    path.write_text(SPACE)
    return Space.load(path)


def test_every_assignment_is_drawn_alike(chain: Space) -> None:
    rng = random.Random(0)
    drawn = Counter(_key(chain.sample_evenly(rng)) for _ in range(4_000))
    assert len(drawn) == chain.size == 16
    assert all(170 <= number <= 340 for number in drawn.values())


@pytest.mark.parametrize("sampler", ["pareto", "tpe", "random"])
def test_samplers_propose_what_is_within_the_bounds(chain: Space, sampler: str) -> None:
    proposer = Proposer(chain, chain.input, 10, objectives=("accuracy", "parameters"), sampler=sampler, seed=0)
    networks = {chain.from_assignment(assignment).hash for assignment in chain.enumerate()}
    tried = set()
    while (proposal := proposer.propose()) is not None:
        tried.add(proposal.architecture.hash)
        proposer.finish(proposal, 0.5 + 0.01 * len(tried))
    assert tried == networks


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("body.*.op", "body.*.ob", r"chain.yaml:11: counts: heavy: no choice 'body.\*.ob'; did you mean 'body.\*.op'"),
        ("[large]", "[lagre]", "has no option 'lagre'; did you mean 'large'"),
        ("min: 1, max: 1", "", "counts: heavy: needs 'min' or 'max'"),
        ("min: 1, max: 1", "min: 2, max: 1", "min 2 is above max 1"),
        ("min: 1, max: 1", "min: 4", "no assignment meets them: at least 4 of body"),
        ("min: 1, max: 1", "max: many", "max must be a whole number from 0"),
        ("option:", "options:", "unknown key 'options'; did you mean 'option'"),
    ],
)
def test_mistakes_are_named_with_their_line(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(SPACE.replace(old, new))
    with pytest.raises(SpaceError, match=message):
        Space.load(path)


def test_a_broken_rule_is_named(chain: Space) -> None:
    with pytest.raises(
        AssignmentError, match=r"'body.1.op' cannot be large .* \(heavy: exactly 1 of body.\*.op are large"
    ):
        chain.plan({"body.repeat": 2, "body.0.op": "large", "body.1.op": "large"})


def test_the_macro_space_of_transnas_has_the_published_networks(shared: Path) -> None:
    import csv

    digits = {"plain": 1, "double": 2, "halve": 3, "both": 4}
    space = Space.load("transnas_macro")
    every = {
        tuple(
            digits[str(assignment[f"body.{place}.kind"])] for place in range(int(assignment["body.repeat"]))
        ): assignment
        for assignment in space.enumerate()
    }
    assert len(every) == space.size == 3_256
    with (shared / "bench" / "transnas_macro.csv").open() as file:
        rows = {tuple(int(row[f"m{n}"]) for n in range(6) if row[f"m{n}"]): row for row in csv.DictReader(file)}
    assert every.keys() == rows.keys()
    for key in list(every)[::100]:
        if printed := rows[key]["class_scene_params_M"]:
            price = space.resolve(space.plan(every[key]), classes=63).cost
            assert price.parameters / 1e6 == pytest.approx(float(printed), abs=1e-6)
