from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import optuna
import pytest

from blocks import measure
from nas.architecture import cost
from nas.architecture.architecture import Architecture
from nas.commands.search import command
from nas.errors import SearchError
from nas.searches.options import SearchOptions
from nas.searches.proposer import Proposer
from nas.searches.samplers import SAMPLERS
from nas.searches.seed_points import SeedPoint, seed_points
from nas.space.feasibility import check_feasible
from nas.space.published import PublishedConfig
from nas.space.space import Space
from tests.small_search import SPACE

INPUT = (1, 16, 16)


def _proposer(space: Space, sampler: str = "tpe", **rest: Any) -> Proposer:
    return Proposer(space, INPUT, 10, objectives=("accuracy", "parameters"), sampler=sampler, seed=0, **rest)


def _run(proposer: Proposer, count: int) -> list[dict[str, Any]]:
    """Proposes and finishes; the accuracy is a function of the assignment."""
    rows = []
    for number in range(count):
        proposal = proposer.propose()
        if proposal is None:
            break
        accuracy = (sum(map(ord, str(proposal.assignment))) % 97) / 97
        proposer.finish(proposal, accuracy)
        rows.append(
            {
                "trial": number,
                "assignment": proposal.assignment,
                "hash": proposal.architecture.hash,
                "state": "complete",
                "accuracy": accuracy,
                "parameters": proposal.cost.parameters,
                "macs": proposal.cost.macs,
                "activation_bytes": proposal.cost.activation_bytes,
            }
        )
    return rows


# the Gaussian process takes a second to propose, and tens to see that it repeats itself
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_a_sampler_proposes_every_network_once_and_then_nothing(sampler: str, space_file: Path) -> None:
    space = Space.load(space_file)
    rows = _run(_proposer(space, sampler), 100)
    networks = {space.from_assignment(assignment, INPUT).hash for assignment in space.enumerate()}
    assert len(rows) == len({row["hash"] for row in rows}) == len(networks) == space.size == 36


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "gp"])
def test_a_conditional_space_is_no_trouble(sampler: str) -> None:
    assert len(_run(_proposer(Space.load("attn_cnn"), sampler), 12)) == 12


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_one_seed_gives_the_same_decisions(sampler: str, space_file: Path) -> None:
    space = Space.load(space_file)
    assert _run(_proposer(space, sampler), 15) == _run(_proposer(space, sampler), 15)


class _Stubborn(optuna.samplers.RandomSampler):
    """Proposes the first options, again and again."""

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return param_distribution.choices[0]


def test_a_sampler_that_repeats_itself_gets_the_neighbours_of_its_proposal(
    space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SAMPLERS._items, "stubborn", lambda seed, problem: _Stubborn(seed))
    first, *rest = (row["assignment"] for row in _run(_proposer(Space.load(space_file), "stubborn"), 6))
    assert [sum(first[name] != value for name, value in other.items()) for other in rest] == [1] * 5


def test_a_continued_search_proposes_nothing_again(space_file: Path) -> None:
    space = Space.load(space_file)
    past = _run(_proposer(space), 20)
    rest = _run(_proposer(space, past=past), 100)
    assert len(rest) == 16
    assert not {row["hash"] for row in past} & {row["hash"] for row in rest}


def test_interrupted_trials_come_first_when_a_search_continues(space_file: Path) -> None:
    space = Space.load(space_file)
    past = _run(_proposer(space), 8)
    past[3].update(state="interrupted", accuracy=None)
    proposal = _proposer(space, past=past).propose()
    assert proposal is not None
    assert proposal.architecture.hash == past[3]["hash"]


def test_seed_points_come_first_under_their_names_each_network_once() -> None:
    space = Space.load("attn_cnn")
    seeds = seed_points(space, INPUT, 10)
    names: dict[str, str] = {}  # several papers' networks are one on these images, and some do not fit them
    for seed in seeds:
        if seed.built is not None:
            names.setdefault(seed.built.architecture.hash, seed.config.name)
    assert 10 < len(names) < len(seeds)
    proposer = _proposer(space, seeds=seeds)
    proposals = [proposer.propose() for _ in range(len(names) + 1)]
    assert [proposal.published for proposal in proposals if proposal] == [*names.values(), None]
    first = proposals[0]
    assert first is not None
    assert seeds[0].built is not None
    assert first.architecture.hash == seeds[0].built.architecture.hash


def test_a_proposal_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space, measured = Space.load("nas_bench_macro"), []
    seeds = [
        SeedPoint(PublishedConfig.load("kong_aim"), plan.assignment, space.resolve(plan, (3, 32, 32), 10), None)
        for plan in map(space.plan, itertools.islice(space.enumerate(), 2))
    ]
    monkeypatch.setattr(cost, "measure", lambda *what: measured.append(what) or measure(*what))
    proposer = Proposer(space, (3, 32, 32), 10, objectives=("accuracy", "macs"), sampler="random", seed=0, seeds=seeds)
    for seed in seeds:
        proposal = proposer.propose()
        assert proposal is not None
        assert seed.built is not None
        assert (proposal.cost, measured) == (seed.built.cost, [])
    nodes = 0
    for _ in range(5):
        proposal = proposer.propose()
        assert proposal is not None
        assert proposal.cost == cost.cost(Architecture.from_json(proposal.architecture.to_json()), (3, 32, 32), 10)
        nodes += 2 * len(proposal.architecture.nodes)  # once by the proposer, once by the line before
    assert (proposer.rejected, len(measured)) == (0, nodes)


def test_a_random_try_that_becomes_a_proposal_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space, measured = Space.load("nas_bench_macro"), []
    proposer = Proposer(space, (3, 32, 32), 10, objectives=("accuracy", "macs"), sampler="random", seed=0)
    monkeypatch.setattr(cost, "measure", lambda *what: measured.append(what) or measure(*what))
    proposal = proposer._try(next(space.enumerate()))
    assert proposal is not None
    assert len(measured) == len(proposal.architecture.nodes)


def test_nothing_outside_the_constraints_is_proposed(space_file: Path) -> None:
    space = Space.load(space_file).limit(parameters=1000)
    rows = _run(_proposer(space), 100)
    assert 0 < len(rows) < 36
    assert all(row["parameters"] <= 1000 for row in rows)


def test_constraints_that_nothing_meets_are_refused_with_the_smallest_cost(space_file: Path) -> None:
    space = Space.load(space_file)
    with pytest.raises(SearchError, match=r"none of its 36 architectures meets .* at most 10 \(smallest seen: \d+\)"):
        check_feasible(space.limit(parameters=10), INPUT, 10)
    with pytest.raises(SearchError, match=r"none of 50 random architectures, nor of \d+ made"):
        check_feasible(Space.load("attn_cnn").limit(macs=10), INPUT, 10)


def test_a_space_of_which_nothing_fits_the_images_is_refused_with_the_commonest_reason(tmp_path: Path) -> None:
    path = tmp_path / "pooled.yaml"
    path.write_text(SPACE.replace("  body:", "  down: {block: max_pool}\n  body:"))
    with pytest.raises(SearchError, match=r"none of its 36 architectures fits images of \[1, 1, 1\]: node 'down'"):
        check_feasible(Space.load(path), (1, 1, 1), 10)


def test_an_unknown_sampler_is_answered_with_the_nearest() -> None:
    with pytest.raises(SearchError, match="no sampler 'nsga'; known: .*did you mean 'nsga"):
        SAMPLERS.find("nsga")


def test_pareto_is_the_default_of_the_command_and_of_python() -> None:
    option = next(option for option in command.params if option.name == "sampler")
    assert option.default == SearchOptions("attn_cnn").sampler == "pareto"
