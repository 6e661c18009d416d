"""Networks that learned nothing are counted and explained wherever a study is shown, and are never drawn as if they had."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest

from nas.analysis.causes import causes, significant
from nas.analysis.evidence import Evidence
from nas.dashboard import notes
from nas.report.page.page import page
from nas.store import Store
from tests.conftest import Run
from tests.planted import planted
from tests.store.filling import finish, make_study, start

TASK = {"dataset": "digits", "input": [3, 32, 32], "classes": 10, "validation_images": 358}
REASON = "accuracy 10.1% is not above chance: the commonest class alone gives 10.2%"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Six complete trials and two untrained ones."""
    found = f"sqlite:///{tmp_path}/nas.db"
    with Store.open(found, create=True) as store:
        make_study(store, task=TASK)
        rng = random.Random(0)
        with store.claim("first"):
            for number in range(8):
                trial = start(store, "first", rng)
                if number % 4 == 3:
                    finish(store, trial, 0.101, "untrained", reason=REASON)
                else:
                    finish(store, trial, 0.742 + number / 100)
    return found


def test_the_commands_count_them_and_say_how_sure_an_accuracy_is(url: str, run: Run) -> None:
    where = ("--storage", url)
    listed = run("study", "list", *where)[1]
    assert "6 of 8" in listed
    assert "2 untrained" in listed
    assert max(map(len, listed.splitlines())) <= 80
    shown = run("study", "show", *where)[1]
    assert "6 complete, 2 untrained" in shown
    assert "358 images; an accuracy of 75 % has a standard error of 2.3 points" in shown
    assert "is not above chance" in shown
    front = run("study", "pareto", *where)[1]
    assert "± 2.3 %" in front or "± 2.2 %" in front
    assert "10.1" not in front
    assert "· 2 untrained" in " ".join(front.split())
    assert "what untrained networks share: nas why" in front
    (record,) = json.loads(run("study", "list", "--json", *where)[1])
    assert (record["complete"], record["untrained"]) == (6, 2)
    members = json.loads(run("study", "pareto", "--json", *where)[1])
    assert all(0.02 < member["standard_error"] < 0.025 for member in members)


def test_why_does_not_say_that_all_is_well(url: str, run: Run) -> None:
    shown = run("why", "--storage", url)[1]
    assert "6 complete, 2 untrained" in shown
    assert "is not above chance" in shown
    assert "no trial ended badly" not in shown


def test_why_names_what_they_share() -> None:
    evidence = planted(150)
    trials = evidence.trials.assign(state=evidence.trials["state"].replace("diverged", "untrained"))
    (first, *_) = causes(dataclasses.replace(evidence, trials=trials))
    assert significant(first)
    assert "stage1.first.layer = identity" in (first.name, *first.also)
    assert first.states == {"untrained": first.bad}


def test_the_page_counts_them(url: str) -> None:
    with Store.open(url) as store:
        text = page(Evidence.read(store, "first"), store.measurements())
    assert "complete trials, 2 untrained" in text
    assert "· 2 untrained" in text
    assert "is not above chance" in text
    assert "± 2." in text


def test_notes_of_the_dashboard_count_them(url: str) -> None:
    with Store.open(url) as store:
        evidence = Evidence.read(store, "first")
        note = notes.study_note(evidence, notes.Tested(evidence.study, store.measurements()), url, 1)
        row = evidence.trials[evidence.trials["state"] == "untrained"].iloc[0].to_dict()
        of_one = notes.trial_note(evidence.study, row, url, curve=False)
    assert "6 complete, 2 untrained" in note
    assert "untrained" in note.partition("### Trials without a result")[2]
    assert of_one.startswith(f"**untrained**: `{REASON}`")
    assert "10.1 ± 1.6 %" in of_one
