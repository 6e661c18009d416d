"""What Optuna and its dashboard see in the same database."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Engine, event, text

from nas.architecture.cost import cost
from nas.errors import StorageError
from nas.space.outline import Outlines
from nas.space.space import Space
from nas.store import Reconciled, Store, optuna_projection
from tests.store.filling import INPUT, draw, fill, finish, make_study, start


def load(store: Store, study: str = "first") -> optuna.Study:
    return optuna.load_study(study_name=study, storage=store.optuna_storage())


def test_a_study_with_its_directions_and_names(store: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_study(store, objectives=["accuracy", "macs"])
    study = load(store)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["accuracy", "macs"]


@pytest.mark.parametrize("outlined", [True, False])
@pytest.mark.parametrize("space", ["nas_bench_macro", "attn_cnn"])
def test_rows_are_those_that_optuna_would_have_written(store: Store, space: str, outlined: bool) -> None:
    make_study(store, space=space, outlined=outlined)
    fill(store, "first", 12, space=space)
    study = load(store)
    theirs = optuna.create_study(directions=study.directions, storage=store.optuna_storage(), study_name="theirs")
    theirs.add_trials(study.trials)
    assert [_comparable(trial) for trial in theirs.trials] == [_comparable(trial) for trial in study.trials]
    assert [trial.number for trial in study.best_trials] == [trial.number for trial in theirs.best_trials]
    for table in ("trial_params", "trial_values", "trial_user_attributes"):
        rows = [_raw(store, table, name) for name in ("first", "theirs")]
        assert rows[0] == rows[1]
        assert rows[0]


def _raw(store: Store, table: str, study: str) -> list[tuple[object, ...]]:
    """The rows as stored, without the ids that differ."""
    with store._engine.connect() as connection:
        columns = [row[1] for row in connection.execute(text(f"PRAGMA table_info({table})"))]
        chosen = ", ".join(f"c.{column}" for column in columns if not column.endswith("_id"))
        query = (
            f"SELECT t.number, {chosen} FROM {table} c JOIN trials t ON c.trial_id = t.trial_id "
            f"JOIN studies s ON s.study_id = t.study_id WHERE s.study_name = :study ORDER BY t.number, {chosen}"
        )
        return [tuple(row) for row in connection.execute(text(query), {"study": study})]


def _comparable(trial: FrozenTrial) -> tuple[object, ...]:
    return (
        trial.number,
        trial.state,
        trial.values,
        trial.params,
        trial.distributions,
        trial.user_attrs,
        trial.datetime_start,
        trial.datetime_complete,
    )


def test_trials_as_the_dashboard_shows_them(store: Store) -> None:
    make_study(store)
    fill(store, "first", 12)
    frame = store.trials("first")
    trials = load(store).trials
    assert [trial.number for trial in trials] == frame["trial"].tolist()
    assert [trial.params for trial in trials] == frame["assignment"].tolist()
    for trial, row in zip(trials, frame.to_dict("records"), strict=True):
        if row["state"] == "complete":
            assert trial.state == TrialState.COMPLETE
            assert trial.values == [row["accuracy"], row["parameters"]]
        else:
            assert trial.state == TrialState.FAIL
            assert trial.values is None
            assert trial.user_attrs["reason"] == row["reason"]
        for name in ("hash", "parameters", "macs", "activation_bytes", "state", "seconds", "device", "key"):
            assert trial.user_attrs[name] == row[name]


def test_trials_of_a_large_space_have_few_parameters_and_the_same_ones(store: Store) -> None:
    make_study(store, space="attn_cnn", outlined=True)
    fill(store, "first", 12, space="attn_cnn")
    frame = store.trials("first")
    trials = load(store).trials
    assert [trial.user_attrs["choices"] for trial in trials] == frame["assignment"].tolist()
    assert all(trial.distributions == trials[0].distributions for trial in trials)
    assert list(trials[0].params) == list(Outlines(Space.load("attn_cnn")).parameters)
    assert store.outlines("first") == {trial.number: trial.params for trial in trials}
    complete = load(store).get_trials(states=[TrialState.COMPLETE])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importance = optuna.importance.get_param_importances(
            load(store), evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0), target=lambda t: t.values[0]
        )
    assert importance.keys() == complete[0].params.keys()


def test_a_study_without_outlines_keeps_its_choices_as_parameters(store: Store) -> None:
    make_study(store)
    fill(store, "first", 3)
    fill(store, "first", 3, seed=1)
    assert store.outlines("first") == store.outline_parameters("first") == {}
    assert [trial.params for trial in load(store).trials] == store.trials("first")["assignment"].tolist()
    assert not any("choices" in trial.user_attrs for trial in load(store).trials)


def test_a_trial_of_a_study_with_outlines_needs_one(store: Store) -> None:
    make_study(store, outlined=True)
    with store.claim("first"):
        with pytest.raises(ValueError, match="the outline of a network lacks 'convolution"):
            start(store, "first", random.Random(0), outline={})
        outline = {**dict.fromkeys(store.outline_parameters("first"), 1), "stages": 99}
        with pytest.raises(ValueError, match="99 is no whole number from 1 to 16"):
            start(store, "first", random.Random(0), outline=outline)
    assert store.trials("first").empty


def test_a_trial_that_a_nas_without_outlines_has_added_has_no_parameters(store: Store) -> None:
    make_study(store, outlined=True)
    fill(store, "first", 3)
    with store._engine.begin() as connection:
        connection.execute(text("DELETE FROM nas_outlines WHERE trial_id = 2"))
    optuna.delete_study(study_name="first", storage=store.optuna_storage())
    with store.claim("first") as repaired:
        assert repaired.projected == 3
    assert [bool(trial.params) for trial in load(store).trials] == [True, False, True]


def test_a_trial_that_did_not_complete_is_never_complete(store: Store) -> None:
    from nas.states import FINISHED

    make_study(store)
    rng = random.Random(0)
    with store.claim("first"):
        for state in FINISHED:
            finish(store, start(store, "first", rng), 0.5, state)
    states = {trial.user_attrs["state"]: trial.state for trial in load(store).trials}
    known = {"complete": TrialState.COMPLETE, "stopped_early": TrialState.PRUNED}
    assert states == {**dict.fromkeys(FINISHED, TrialState.FAIL), **known}
    assert states["untrained"] == TrialState.FAIL
    assert [trial.number for trial in load(store).best_trials] == [0]


def test_options_that_python_takes_for_equal_are_told_apart() -> None:
    choice = optuna_projection.Choice.of((0, False, 0.0, 1, True, "1"))
    assert [choice.index(option) for option in choice.options] == list(range(6))
    with pytest.raises(ValueError, match="none of the options"):
        choice.index(1.0)


def test_a_kill_between_the_two_sides_cannot_separate_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(store)
    rng = random.Random(0)

    def killed(*args: object) -> None:
        raise RuntimeError("killed")

    def killed_search() -> None:
        with store.claim("first"):
            finish(store, start(store, "first", rng))
            trial_id = start(store, "first", rng)
            with monkeypatch.context() as patch:
                patch.setattr(optuna_projection, "add", killed)
                finish(store, trial_id)

    with pytest.raises(RuntimeError, match="killed"):
        killed_search()
    assert store.trials("first")["state"].tolist() == ["complete", "interrupted"]
    assert len(load(store).trials) == 2


@pytest.mark.parametrize(
    ("damage", "projected"),
    [
        ("DELETE FROM trials WHERE number >= 4", 3),  # the last rows are missing
        ("DELETE FROM trials WHERE number = 2", 7),  # a hole: everything is written anew
        ("UPDATE trial_user_attributes SET value_json = '\"x\"' WHERE key = 'hash'", 7),  # other trials
        ("UPDATE trials SET number = number + 1", 7),
    ],
)
def test_reconcile_repairs_what_optuna_lacks(store: Store, damage: str, projected: int) -> None:
    make_study(store, outlined=True)
    fill(store, "first", 7)
    before = [_comparable(trial) for trial in load(store).trials]
    with store._engine.connect() as connection:
        connection.execute(text("PRAGMA foreign_keys = OFF"))
        connection.execute(text(damage))
        connection.commit()
        connection.execute(text("PRAGMA foreign_keys = ON"))
    with store._engine.begin() as connection:  # children of deleted rows, as a database without cascades leaves them
        for table in ("trial_params", "trial_values", "trial_user_attributes"):
            connection.execute(text(f"DELETE FROM {table} WHERE trial_id NOT IN (SELECT trial_id FROM trials)"))
    with store.claim("first") as repaired:
        assert repaired == Reconciled(0, projected)
        assert store.reconcile("first") == Reconciled(0, 0)
    assert [_comparable(trial) for trial in load(store).trials] == before


def test_a_study_deleted_in_the_dashboard_comes_back(store: Store) -> None:
    make_study(store)
    rng = random.Random(0)
    with store.claim("first"):
        finish(store, start(store, "first", rng), 0.4)
        trial_id = start(store, "first", rng)
        optuna.delete_study(study_name="first", storage=store.optuna_storage())
        assert finish(store, trial_id, 0.5) == 1
        study = load(store)
        assert [trial.values[0] for trial in study.trials] == [0.4, 0.5]
        assert study.metric_names == ["accuracy", "parameters"]


READER = """
import json, sys, time
import optuna
study = optuna.load_study(study_name="first", storage=sys.argv[1])
seen = []
while len(set(seen)) < 5:
    seen.append(len(study.get_trials(deepcopy=False)))
    print("reading", flush=True)
print(json.dumps(seen))
"""


def test_another_process_reads_while_the_driver_writes(store: Store, url: str) -> None:
    import json

    make_study(store)
    reader = subprocess.Popen([sys.executable, "-c", READER, url], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    reader.stdout.readline()
    rng = random.Random(0)
    with store.claim("first"):
        while reader.poll() is None:  # until it has seen the study grow
            finish(store, start(store, "first", rng))
    assert reader.wait() == 0
    seen = json.loads(reader.stdout.read().splitlines()[-1])
    assert seen == sorted(seen)


def test_a_trial_is_finished_in_few_statements(store: Store) -> None:
    """90 choices a trial, as one transaction: 3 ms, where Optuna's own `add_trial` takes 53 ms."""
    make_study(store, space="attn_cnn")
    space = Space.load("attn_cnn")
    assignment, options, architecture = draw(space, random.Random(0))
    with store.claim("first"):
        trial_id = store.start_trial(
            "first",
            assignment=assignment,
            options=options,
            architecture=architecture,
            cost=cost(architecture, INPUT, 10),
        )
        ours = _counted(store._engine, lambda: finish(store, trial_id))
    storage = store.optuna_storage()
    study = optuna.create_study(directions=["maximize"], storage=storage)
    distributions = {name: CategoricalDistribution(options[name]) for name in assignment}
    trial = create_trial(value=0.5, params=assignment, distributions=distributions)
    theirs = _counted(storage.engine, lambda: study.add_trial(trial))
    assert ours["commits"] == 1
    assert ours["statements"] <= 20
    assert theirs["statements"] > 5 * ours["statements"]


def _counted(engine: Engine, call: Callable[[], object]) -> Counter[str]:
    counts: Counter[str] = Counter()

    def statement(*arguments: object) -> None:
        counts["statements"] += 1

    def commit(connection: object) -> None:
        counts["commits"] += 1

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)
    try:
        call()
    finally:
        event.remove(engine, "before_cursor_execute", statement)
        event.remove(engine, "commit", commit)
    return counts


def test_ids_choices_and_what_is_new(store: Store) -> None:
    study = make_study(store)
    fill(store, study, 8)
    optuna_study, ids = store.optuna_ids(study)
    listed = optuna.load_study(study_name=study, storage=store.optuna_storage()).trials
    assert ids == {trial.number: trial._trial_id for trial in listed}
    assert optuna_study == optuna.study.get_all_study_summaries(store.optuna_storage())[0]._study_id
    assert store.optuna_ids(study, since=6)[1].keys() == {6, 7}
    assert list(store.trials(study, since=5)["trial"]) == [5, 6, 7]
    assert set(store.epochs(study, since=6)["trial"]) == {6, 7}
    for trial in listed:
        for name, value in trial.params.items():
            assert value in store.choices(study)[name]
    optuna.delete_study(study_name=study, storage=store.optuna_storage())
    with pytest.raises(StorageError, match="Optuna's copy of study 'first' is gone"):
        store.optuna_ids(study)


def test_outlines_go_with_their_study(store: Store) -> None:
    for name in ("first", "second"):
        make_study(store, name, outlined=True)
        fill(store, name, 3)
    store.delete_study("first")
    assert len(store.outlines("second")) == 3
    with store._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM nas_outlines")).scalar_one() == 3
        assert connection.execute(text("SELECT count(DISTINCT study_id) FROM nas_outline_parameters")).scalar_one() == 1
