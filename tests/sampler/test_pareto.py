from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.samplers import NSGAIISampler, TPESampler

from nas.sampler import ParetoSampler
from nas.sampler.domain import SpaceDomain
from nas.sampler.history import PARTIAL, Earlier
from nas.space.space import Assignment, Space
from tests.sampler.conftest import NETWORKS, build, regret, search, study_for

THREE = ("accuracy", "parameters", "macs")


def _mean_regret(space: Space, make: Any, trials: int, seeds: int, **rest: Any) -> float:
    runs = [search(space, make(seed), trials, **rest) for seed in range(seeds)]
    return sum(regret(space, run, rest.get("objectives", ("accuracy", "parameters"))) for run in runs) / seeds


def _hashes(tried: list[Any]) -> list[str]:
    return [item.architecture.hash for item in tried]


def test_it_finds_the_front_in_fewer_trials_than_others(chain: Space) -> None:
    ours = _mean_regret(chain, lambda seed: ParetoSampler(chain, seed=seed), 30, 3)
    assert ours < 0.01
    assert ours < 0.5 * _mean_regret(chain, lambda seed: TPESampler(seed=seed), 30, 3)
    assert ours < 0.5 * _mean_regret(chain, lambda seed: NSGAIISampler(seed=seed), 30, 3)
    assert ours < 0.5 * _mean_regret(chain, lambda seed: optuna.samplers.RandomSampler(seed=seed), 30, 3)


def test_three_objectives(chain: Space) -> None:
    ours = _mean_regret(chain, lambda seed: ParetoSampler(chain, objectives=THREE, seed=seed), 25, 1, objectives=THREE)
    others = _mean_regret(chain, lambda seed: TPESampler(seed=seed), 25, 1, objectives=THREE)
    assert ours < 0.5 * others


def test_accuracy_alone(chain: Space) -> None:
    tried = search(chain, ParetoSampler(chain, objectives=["accuracy"], seed=0), 30, objectives=["accuracy"])
    assert regret(chain, tried, ["accuracy"]) < 0.02


def test_no_network_is_tried_twice_while_others_run(chain: Space) -> None:
    tried = search(chain, ParetoSampler(chain, seed=1), 60, workers=8)
    assert len(set(_hashes(tried))) == 60


def test_with_many_workers_it_is_no_worse_than_random_and_then_ahead(chain: Space) -> None:
    goals = ("accuracy", "parameters")
    regrets = {}
    for name, make in (("ours", ParetoSampler(chain, seed=0)), ("random", optuna.samplers.RandomSampler(seed=0))):
        tried = search(chain, make, 90, workers=48)
        regrets[name] = [regret(chain, tried[:count], goals) for count in (40, 90)]
    assert regrets["ours"][0] < 1.2 * regrets["random"][0]
    assert regrets["ours"][1] < 0.5 * regrets["random"][1]


def test_what_runs_makes_a_batch_diverse(chain: Space) -> None:
    study = study_for(ParetoSampler(chain, seed=0))
    for item in search(chain, ParetoSampler(chain, seed=0), 8):
        distributions = {
            name: optuna.distributions.CategoricalDistribution(_options(chain, name)) for name in item.assignment
        }
        study.add_trial(
            optuna.trial.create_trial(params=item.assignment, distributions=distributions, values=item.values)
        )
    batch = [built for built in (build(chain, study.ask()) for _ in range(8)) if built is not None]
    prices = sorted(price.parameters for _, _, price in batch)
    assert len({architecture.hash for _, architecture, _ in batch}) == 8
    assert prices[-1] > 2 * prices[0]  # not eight guesses at one place of the front


def test_one_seed_gives_the_same_decisions_and_another_gives_others(chain: Space) -> None:
    runs = [_hashes(search(chain, ParetoSampler(chain, seed=seed), 15)) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_nothing_that_breaks_a_constraint_is_proposed(chain: Space) -> None:
    limited = chain.limit(parameters=6000)
    tried = search(limited, ParetoSampler(limited, seed=0), 25)
    assert all(item.price.parameters <= 6000 for item in tried)
    assert max(item.price.parameters for item in tried) > 4500  # it uses what it may


def test_a_small_space_is_tried_as_a_whole_and_then_the_search_ends(chain: Space) -> None:
    limited = chain.limit(parameters=2000)
    sampler = ParetoSampler(limited, seed=0)
    study = study_for(sampler)
    met: list[str] = []

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        built = build(limited, trial)
        assert built is not None
        met.append(built[1].hash)
        return 0.5, float(built[2].parameters)

    study.optimize(objective, n_trials=NETWORKS)
    fitting = {
        architecture.hash
        for architecture in (limited.from_assignment(assignment) for assignment in limited.enumerate())
        if limited.violation(_price(limited, architecture)) is None
    }
    assert sorted(met) == sorted(fitting)
    assert 10 < len(fitting) < NETWORKS


def test_where_trials_fail_few_more_are_tried(chain: Space) -> None:
    study = study_for(ParetoSampler(chain, seed=0))
    failed: list[bool] = []
    for _ in range(40):
        trial = study.ask()
        built = build(chain, trial)
        assert built is not None
        failed.append("wide" in [built[0][name] for name in list(built[0])[:2]])  # 7 of 16 networks
        if failed[-1]:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, (0.9 - 1 / built[2].parameters, built[2].parameters))
    assert sum(failed[-20:]) < 0.5 * 20 * 7 / 16


def test_trials_that_were_stopped_early_inform_it(chain: Space) -> None:
    """After four of their ten epochs chains with a wide layer first are far better; nothing else is known."""

    def first_layers(told: bool) -> Counter[object]:
        study = study_for(ParetoSampler(chain, seed=0))
        # the same few complete trials, which do not tell the first layers apart
        for item in search(chain, optuna.samplers.RandomSampler(seed=5), 6):
            study.add_trial(_past(chain, item.assignment, values=(0.5, float(item.price.parameters))))
        for item in search(chain, optuna.samplers.RandomSampler(seed=6), 40):
            early = {"value": 0.8 if item.assignment["body.0.op"] == "wide" else 0.3, "share": 0.4}
            attributes = {PARTIAL: early} if told else {}
            study.add_trial(_past(chain, item.assignment, state=optuna.trial.TrialState.FAIL, user_attrs=attributes))
        asked = [build(chain, study.ask()) for _ in range(12)]
        return Counter(built[0]["body.0.op"] for built in asked if built is not None)

    assert first_layers(told=True)["wide"] > 2 * first_layers(told=False)["wide"]


def test_a_study_goes_on_in_another_process(chain: Space, tmp_path: Any) -> None:
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    met: list[str] = []

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        built = build(chain, trial)
        assert built is not None
        met.append(built[1].hash)
        return 1 - 1 / built[2].parameters, float(built[2].parameters)

    for _ in range(2):
        study = optuna.create_study(
            study_name="both",
            directions=["maximize", "minimize"],
            sampler=ParetoSampler(chain, seed=0),
            storage=storage,
            load_if_exists=True,
        )
        study.optimize(objective, n_trials=5)
    assert len(set(met)) == 10


def test_many_past_trials_are_read_by_and_by_and_none_is_repeated(
    chain: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = search(chain, optuna.samplers.RandomSampler(seed=0), 300)
    monkeypatch.setattr("nas.sampler.history.FIRST_EFFORT", 500)
    monkeypatch.setattr("nas.sampler.history.EFFORT", 50)
    sampler = ParetoSampler(chain, seed=0)
    study = study_for(sampler)
    study.add_trials([_past(chain, item.assignment, values=item.values) for item in past])
    known = {tuple(sorted(item.assignment.items())) for item in past}
    for _ in range(10):
        built = build(chain, study.ask())
        assert built is not None
        assert tuple(sorted(built[0].items())) not in known
    assert sampler._search is not None
    assert 10 < len(sampler._search.history.observed) < 290


def test_a_long_study_goes_on_with_what_is_new(chain: Space) -> None:
    """More than half of all networks are known, and several proposals are made at once."""
    past = search(chain, ParetoSampler(chain, seed=0), 240, workers=40)
    study = study_for(ParetoSampler(chain, seed=1))
    study.add_trials([_past(chain, item.assignment, values=item.values) for item in past])
    asked = [build(chain, study.ask()) for _ in range(25)]
    fresh = {built[1].hash for built in asked if built is not None}
    assert len(fresh) == 25
    assert not fresh & set(_hashes(past))


def test_threads_share_a_sampler(chain: Space) -> None:
    met: list[str] = []

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        built = build(chain, trial)
        assert built is not None
        met.append(built[1].hash)
        return 1 - 1 / built[2].parameters, float(built[2].parameters)

    study_for(ParetoSampler(chain, seed=0)).optimize(objective, n_trials=24, n_jobs=4)
    assert len(set(met)) == 24


def test_mistakes_are_refused(chain: Space) -> None:
    with pytest.raises(ValueError, match="one must be accuracy, or another that has to be learned"):
        ParetoSampler(chain, objectives=["parameters", "macs"])
    with pytest.raises(ValueError, match="names need a space"):
        ParetoSampler(objectives=["accuracy", "parameters"])
    with pytest.raises(ValueError, match="a space knows the costs"):
        ParetoSampler(chain, costs=lambda params: [1.0])
    with pytest.raises(ValueError, match="must have the objectives accuracy, parameters, not 3 of them"):
        study_for(ParetoSampler(chain), THREE).ask()


def _options(space: Space, wanted: str) -> tuple[Any, ...]:
    found: dict[str, tuple[Any, ...]] = {}

    def choose(name: str, options: Any) -> Any:
        found[name] = tuple(options)
        return options[0]

    space.walk(choose)
    return found[wanted]


def _past(space: Space, assignment: Assignment, **rest: Any) -> optuna.trial.FrozenTrial:
    distributions = {name: optuna.distributions.CategoricalDistribution(_options(space, name)) for name in assignment}
    return optuna.trial.create_trial(params=assignment, distributions=distributions, **rest)


def _price(space: Space, architecture: Any) -> Any:
    from nas.architecture.cost import cost

    return cost(architecture, space.input, 10)


def test_an_earlier_study_is_learned_from_as_far_as_it_tells_something(chain: Space) -> None:
    """On other images every error is half as large, and nothing else; or the errors belong to other networks."""
    past = search(chain, ParetoSampler(chain, seed=9), 40)
    same = [Earlier(item.assignment, 0.5 + 0.5 * item.values[0], 1_000) for item in past]
    mixed = [Earlier(item.assignment, other.value) for item, other in zip(past, [*same[20:], *same[:20]], strict=True)]
    regrets = {
        name: _mean_regret(chain, lambda seed, told=told: ParetoSampler(chain, earlier=told, seed=seed), 12, 2)  # type: ignore[misc]
        for name, told in (("cold", ()), ("told", [same]), ("misled", [mixed]))
    }
    assert regrets["told"] < 0.5 * regrets["cold"]
    assert regrets["misled"] < 1.5 * regrets["cold"]


def test_where_time_is_spent_trials_take_less_of_it(chain: Space) -> None:
    """In an estimate, since no clock decides."""

    def taken(timed: bool, seed: int) -> float:
        domain = SpaceDomain(chain, chain.input, 10, ["parameters"])
        tried = search(chain, ParetoSampler(chain, timed=timed, seed=seed), 20)
        described = [domain.describe(item.assignment) for item in tried]
        return sum(one.pace for one in described if one is not None)

    assert sum(taken(True, seed) for seed in range(2)) < 0.95 * sum(taken(False, seed) for seed in range(2))
    assert _mean_regret(chain, lambda seed: ParetoSampler(chain, timed=True, seed=seed), 30, 2) < 0.02
