"""What the page is told about a study: the same as Optuna Dashboard would say, sooner, and with notes."""

from __future__ import annotations

import json
import random
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest
from optuna_dashboard import save_note, wsgi

from nas.store import Store
from tests.dashboard.conftest import TASK, ask, detail, fill_study, serving
from tests.store.filling import fill, finish, make_study, measure, start


def original(store: Store, study: int = 1) -> dict[str, Any]:
    """What Optuna Dashboard says of itself."""
    environ: dict[str, Any] = {"PATH_INFO": f"/api/studies/{study}"}
    setup_testing_defaults(environ)
    body = b"".join(wsgi(store.optuna_storage())(environ, lambda status, headers, failure: None))
    found: dict[str, Any] = json.loads(body)
    return found


def _comparable(study: dict[str, Any]) -> dict[str, Any]:
    def trial(data: dict[str, Any]) -> dict[str, Any]:
        # Ours: notes and curves. Optuna's order of parameters is that of their names or of their rows.
        own = {key: value for key, value in data.items() if key not in ("note", "intermediate_values")}
        own["params"] = sorted(own["params"], key=lambda param: param["name"])
        own["user_attrs"] = sorted(own["user_attrs"], key=lambda attribute: attribute["key"])
        return own

    def choices(space: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Their options come out of a set.
        return [
            {"name": param["name"], "choices": sorted(map(str, param["distribution"]["choices"]))}
            if "choices" in param["distribution"]
            else param
            for param in space
        ]

    own = {
        key: value for key, value in study.items() if key not in ("note", "objective_names", "has_intermediate_values")
    }
    own["trials"] = [trial(data) for data in study["trials"]]
    own["best_trials"] = sorted((trial(data) for data in study["best_trials"]), key=lambda data: data["number"])
    own["union_user_attrs"] = sorted(study["union_user_attrs"], key=lambda attribute: attribute["key"])
    for name in ("intersection_search_space", "union_search_space"):
        own[name] = choices(study[name])
    return own


def test_says_what_optuna_dashboard_says(store: Store, address: str) -> None:
    ours, theirs = detail(address), original(store)
    assert _comparable(ours) == _comparable(theirs)
    assert set(ours) >= set(theirs) - {"objective_names"}


def test_a_study_with_outlines_has_its_choices_in_the_notes(store: Store) -> None:
    make_study(store, "large", space="attn_cnn", task=TASK, outlined=True)
    fill(store, "large", 8, space="attn_cnn")
    theirs = original(store, 2)
    with serving(store) as address:
        ours = detail(address, study=2)
    for trial in theirs["trials"]:
        trial["user_attrs"] = [one for one in trial["user_attrs"] if one["key"] != "choices"]
    theirs["best_trials"] = [theirs["trials"][trial["number"]] for trial in theirs["best_trials"]]
    theirs["union_user_attrs"] = [one for one in theirs["union_user_attrs"] if one["key"] != "choices"]
    assert _comparable(ours) == _comparable(theirs)
    assert [len(trial["params"]) for trial in ours["trials"]] == 8 * [len(store.outline_parameters("large"))]
    for trial, assignment in zip(ours["trials"], store.trials("large")["assignment"], strict=True):
        assert f"\nbody: {assignment['body']}\n" in trial["note"]["body"]
        assert all(f"\n{path}: " in trial["note"]["body"] for path in assignment)


def test_objectives_have_units_and_curves_are_there(address: str) -> None:
    found = detail(address)
    assert found["objective_names"] == ["validation accuracy (0 to 1)", "parameters"]
    assert found["has_intermediate_values"]
    first = found["trials"][0]
    assert [point["step"] for point in first["intermediate_values"]] == [1, 2, 3]
    assert first["intermediate_values"][-1]["value"] == pytest.approx(first["values"][0])


def test_only_complete_trials_are_among_the_best(address: str) -> None:
    found = detail(address)
    states = {trial["number"]: trial["state"] for trial in found["trials"]}
    assert {"Complete", "Fail", "Pruned"} == set(states.values())
    assert found["best_trials"]
    assert all(states[trial["number"]] == "Complete" for trial in found["best_trials"])
    for trial in found["trials"]:
        assert ("values" in trial) == (trial["state"] == "Complete")


def test_what_a_running_search_adds_comes_alone(store: Store, address: str) -> None:
    before = len(detail(address)["trials"])
    assert detail(address, after=before)["trials"] == []
    with store.claim("first"):
        finish(store, start(store, "first", random.Random(5)), 0.999)
        (new,) = detail(address, after=before)["trials"]
        assert new["number"] == before
        note = detail(address, after=before)["note"]["body"]
        assert f"{before + 1}.svg" not in note
        assert f"-{before + 1}-0.svg" in note
        assert "Running now: `process" in note


def test_a_note_that_a_user_has_written_stands(store: Store, address: str) -> None:
    save_note(optuna.load_study(study_name="first", storage=store.optuna_storage()), "mine")
    trial_id = detail(address)["trials"][3]["trial_id"]
    status, _ = ask(f"{address}/api/studies/1/{trial_id}/note", method="PUT", data={"version": 1, "body": "seen by me"})
    assert status == 204
    found = detail(address)
    assert found["note"]["body"] == "mine"
    assert found["trials"][3]["note"] == {"version": 1, "body": "seen by me"}
    assert "nas export 4" in found["trials"][4]["note"]["body"]


def test_test_accuracies_appear_when_they_are_measured(store: Store, address: str) -> None:
    found = detail(address)
    best = found["best_trials"][0]["number"]
    replayed = next(trial["number"] for trial in found["trials"] if "kong" in trial["note"]["body"])
    assert "87.65" not in json.dumps(found)
    measure(store, "first", best, "retrain")
    measure(store, "first", replayed, "replay", published="kong_aim", fraction=0.5, accuracy=0.4321)
    found = detail(address)
    assert "Trained again, on the test set: **87.65 % (1 seed)**" in found["trials"][best]["note"]["body"]
    note = found["trials"][replayed]["note"]["body"]
    assert "Its paper claims: accuracy 84.46 %" in note
    assert (
        "Replayed as published, on the test set: **43.21 % (1 seed)**, `digits`, 30 epochs, 50% of the images" in note
    )
    assert "87.65 % (1)" in found["note"]["body"]
    assert "43.21 % (1 seed)" in found["note"]["body"]


def test_every_study_of_the_database_and_those_of_others(store: Store, address: str) -> None:
    fill_study(store, "second", 3)
    storage = store.optuna_storage()
    optuna.create_study(storage=storage, study_name="of Optuna alone").optimize(lambda trial: trial.number, n_trials=1)
    assert detail(address, study=2)["name"] == "second"
    other = detail(address, study=3)
    assert (other["name"], len(other["trials"])) == ("of Optuna alone", 1)
    assert ask(f"{address}/api/studies/4") == (404, b'{"reason": "no study number 4"}')


def test_a_copy_that_was_deleted_and_written_anew(store: Store, address: str) -> None:
    before = detail(address)
    storage = store.optuna_storage()
    storage.delete_study(1)
    assert ask(f"{address}/api/studies/1")[0] == 404
    with store.claim("first"):
        pass
    after = detail(address, study=storage.get_study_id_from_name("first"))
    assert [trial["number"] for trial in after["trials"]] == [trial["number"] for trial in before["trials"]]
    assert after["trials"][0]["params"] == before["trials"][0]["params"]


def test_a_study_without_a_trial(store: Store, address: str) -> None:
    make_study(store, "empty")
    found = detail(address, study=2)
    assert (found["trials"], found["best_trials"]) == ([], [])
    assert "none yet" in found["note"]["body"]
