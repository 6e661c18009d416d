"""Which studies a search learns of beside its own trials."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.config.recipe import Recipe
from nas.errors import SearchError
from nas.searches.earlier_studies import earlier_trials
from nas.space.space import Space
from nas.store import Store
from tests.searches.simulated import SimulatedTune, make_study


def test_complete_trials_of_a_study_over_the_same_space(store: Store, space_file: Path) -> None:
    tune = SimulatedTune(store, space_file, study="earlier", trials=4)
    with store.claim("earlier"):
        tune.run(workers=1)
    make_study(store, Space.load(space_file), "now", Recipe())
    found = earlier_trials(store, "earlier", store.study("now"))
    trials = store.trials("earlier")
    assert [(one.assignment, one.value) for one in found] == list(
        zip(trials["assignment"], trials["accuracy"], strict=True)
    )


def test_studies_that_tell_nothing_are_refused(store: Store, space_file: Path) -> None:
    make_study(store, Space.load(space_file), "now", Recipe())
    make_study(store, Space.load(space_file), "empty", Recipe())
    make_study(store, Space.load("plain"), "plain", Recipe())
    now = store.study("now")
    for name, said in (
        ("now", "study 'now' is the one that is searched"),
        ("empty", "study 'empty' has no complete trial"),
        ("plain", "study 'plain' searched the space plain, not this tiny"),
    ):
        with pytest.raises(SearchError, match=f"prior: {said}"):
            earlier_trials(store, name, now)


@pytest.mark.parametrize("sampler", ["pareto", "tpe"])
def test_who_learns_of_them_says_so(sampler: str, store: Store, space_file: Path) -> None:
    assert SimulatedTune(store, space_file, sampler=sampler).proposer.recalls == (sampler == "pareto")
