"""Which training is kept, and which network a search ends with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from nas.network.model_selection import cheaper, final, in_order, of_study, of_way
from nas.statistics.scores import Estimate, Score


def row(
    number: int, trial: int, seed: int, right: int | None, *, key: str = "", parameters: int = 100
) -> dict[str, Any]:
    scores = {"test": Score.of_counts((20, 20), (50, 50))}
    if right is not None:
        scores["validation"] = Score.of_counts((right // 2, right - right // 2), (50, 50))
    return {
        "id": number,
        "kind": "retrain",
        "study": "photos",
        "trial": trial,
        "hash": f"hash{trial}",
        "key": key or f"key{trial}",
        "seed": seed,
        "state": "complete",
        "parameters": parameters,
        "macs": parameters,
        "metric": "accuracy",
        "scores": scores,
    }


def test_the_seed_that_does_best_on_validation_images_is_kept() -> None:
    way = of_way(pd.DataFrame([row(1, 7, 0, 60), row(2, 7, 1, 80), row(3, 7, 2, 70)]))
    assert way is not None
    assert (way.seed, way.validated) == (1, (0.6, 0.8, 0.7))
    assert way.validation is not None
    assert way.validation.value("accuracy") == 0.8
    assert [one["seed"] for one in in_order(pd.DataFrame([row(1, 7, 0, 60), row(2, 7, 1, 80)]))] == [1, 0]


def test_without_validation_images_the_first_seed_is_kept_and_nothing_is_chosen() -> None:
    way = of_way(pd.DataFrame([row(1, 7, 0, None), row(2, 7, 1, None)]))
    assert way is not None
    assert (way.seed, way.mean, way.validation) == (0, None, None)
    assert final([way]) is None


def test_trainings_that_did_not_end_well_are_never_kept() -> None:
    failed = {**row(1, 7, 0, 90), "state": "diverged"}
    way = of_way(pd.DataFrame([failed, row(2, 7, 1, 50)]))
    assert way is not None
    assert way.seed == 1
    assert of_way(pd.DataFrame([failed])) is None


def test_the_final_network_has_the_best_mean_and_not_the_luckiest_seed() -> None:
    lucky, steady = [row(1, 7, 0, 60), row(2, 7, 1, 90)], [row(3, 8, 0, 80), row(4, 8, 1, 82)]
    found = of_study(pd.DataFrame([*lucky, *steady]), "photos")
    chosen = final(found)
    assert chosen is not None
    assert (chosen.trial, chosen.seed) == (8, 1)


def test_a_smaller_network_within_one_standard_error_is_named() -> None:
    large = [row(1, 7, 0, 80, parameters=1000)]
    near, far = [row(2, 8, 0, 78, parameters=50)], [row(3, 9, 0, 60, parameters=10)]
    found = of_study(pd.DataFrame([*large, *near, *far]), "photos")
    chosen = final(found)
    assert chosen is not None
    assert chosen.trial == 7
    smaller = cheaper(found, chosen)
    assert smaller is not None
    assert smaller.trial == 8
    alone = of_study(pd.DataFrame([*large, *far]), "photos")
    assert cheaper(alone, chosen) is None


def test_of_a_metric_of_which_less_is_better_the_least_is_chosen() -> None:
    def logged(number: int, trial: int, seed: int, value: float, parameters: int) -> dict[str, Any]:
        scores = {part: Score({"log_loss": Estimate(value, 0.05)}, 100) for part in ("validation", "test")}
        return {**row(number, trial, seed, 50, parameters=parameters), "metric": "log_loss", "scores": scores}

    rows = [logged(1, 7, 0, 0.5, 100), logged(2, 7, 1, 0.3, 100), logged(3, 8, 0, 0.6, 100), logged(4, 9, 0, 0.43, 10)]
    found = of_study(pd.DataFrame(rows), "photos")
    chosen = final(found)
    assert chosen is not None
    assert (chosen.trial, chosen.seed, chosen.mean, chosen.error) == (7, 1, 0.4, 0.05)
    smaller = cheaper(found, chosen)
    assert smaller is not None
    assert smaller.trial == 9


def test_what_lacks_the_metric_is_not_chosen() -> None:
    """As a retraining of an older version, which measured accuracy alone."""
    way = of_way(pd.DataFrame([{**row(1, 7, 0, 60), "metric": "macro_f1"}]))
    assert way is not None
    assert (way.mean, way.tested) == (None, ())
    assert final([way]) is None


def test_the_latest_way_of_a_network_counts() -> None:
    before, after = [row(1, 7, 0, 90, key="short")], [row(2, 7, 0, 70, key="long")]
    (found,) = of_study(pd.DataFrame([*before, *after]), "photos")
    assert found.mean == 0.7
