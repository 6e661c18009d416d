"""Task and recipe of a study: typed where a row is read, whatever version of nas has written it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from nas.config.recipe import Augment, Recipe
from nas.config.task import LoadedTask
from nas.errors import RecipeError
from nas.store import Store
from tests.conftest import Run
from tests.store.filling import fill, make_study, measure

TASK = (
    '{"classes":10,"dataset":"digits","fingerprint":"6d554279a3016d4d","folds":1,"image_size":null,"input":[1,16,16],"seed":0,'
    '"validation":0.25,"validation_images":358}'
)
RECIPE = (
    '{"augment":{"color_jitter":0.0,"crop_padding":1,"cutout":0,"flip":false,"padding_mode":"zero"},"batch_size":32,'
    '"channels_last":"auto","class_weights":"none","clip_norm":1.0,"decay":0.3333333333333333,"decay_norm_bias":false,"ema":0.99,'
    '"epochs":2,"gamma":0.1,"label_smoothing":0.1,"lr":0.003,"milestones":[0.5,0.75],"mixup":0.2,"mixup_epochs":60,'
    '"momentum":0.9,"nesterov":false,"norm_images":2048,"optimizer":"adamw","precision":"auto","sampling":"shuffle",'
    '"schedule":"wsd","seed":0,"steps":0,"warmup":0.1,"warmup_epochs":0.0,"weight_decay":0.2}'
)
"""Columns of a row of `nas_studies` as a version that kept them as mappings wrote them, and a key of `nas_trials` beside it."""
HASH, KEY = "f9ff3b8e83a5a9b7a4549c1d9642fcf4", "eae73ca07fb4158a53e7a9cb9018515f"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two studies, ``first`` and ``second``."""
    path = tmp_path / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as store:
        for name in ("first", "second"):
            make_study(store, name)
            fill(store, name, 2)
    return path


def edit(path: Path, table: str, name: str | None = None, **columns: str) -> None:
    """Writes `columns` into the row of the study `name`, or into every row."""
    with sqlite3.connect(path) as opened:
        for column, value in columns.items():
            where = "" if name is None else f" WHERE name = '{name}'"
            assert opened.execute(f"UPDATE {table} SET {column} = ?{where}", (value,)).rowcount > 0
    opened.close()


def test_a_row_of_an_older_version_is_read_and_its_trials_keep_their_keys(database: Path) -> None:
    edit(database, "nas_studies", "first", task=TASK, recipe=RECIPE)
    with Store.open(f"sqlite:///{database}") as store:
        study = store.study("first")
    found = study.task
    assert (found.dataset, found.validation, found.folds, found.chosen) == ("digits", 0.25, 1, False)
    assert (found.input, found.classes, found.validation_images) == ((1, 16, 16), 10, 358)
    assert study.recipe.optimizer == "adamw"
    assert study.recipe.augment == Augment(crop_padding=1, flip=False)
    assert study.key(HASH) == KEY


def test_what_is_read_is_what_was_written(database: Path) -> None:
    task = LoadedTask("digits", validation=None, image_size=8, folds=3, input=(1, 8, 8), classes=10, fingerprint="f")
    recipe = Recipe(milestones=(0.25, 3), schedule="step", augment=Augment(cutout=4), precision="bf16")
    with Store.open(f"sqlite:///{database}", create=True) as store:
        make_study(store, "third", task=task.to_dict(), recipe=recipe.to_dict())
        measure(store, "first", 0, "replay", task=task.to_dict(), recipe=recipe.to_dict())
        study, measured = store.study("third"), store.measurements().iloc[0]
    assert (study.task, study.recipe) == (task, recipe)
    assert (measured["task"], measured["recipe"]) == (task, recipe)


def test_what_did_not_exist_is_what_was_then_true(database: Path) -> None:
    task = '{"classes":10,"dataset":"digits","fingerprint":"f","image_size":null,"input":[1,16,16],"seed":3,"validation":0.1}'
    edit(database, "nas_studies", "first", task=task, recipe='{"epochs":3,"lr":0.1}')
    with Store.open(f"sqlite:///{database}") as store:
        study = store.study("first")
    assert study.task == LoadedTask("digits", seed=3, input=(1, 16, 16), classes=10, fingerprint="f")
    assert (study.task.folds, study.validation_images) == (1, None)
    assert study.recipe == Recipe(epochs=3, lr=0.1, norm_images=0)


def test_a_study_is_read_whose_optimizer_is_not_known_here(database: Path, run: Run) -> None:
    edit(database, "nas_studies", "first", task=TASK, recipe=RECIPE.replace("adamw", "theirs"))
    code, out, err = run("study", "show", "first", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["recipe"]["optimizer"] == "theirs"
    with Store.open(f"sqlite:///{database}") as store:
        recipe = store.study("first").recipe
    assert recipe == Recipe.stored(recipe.to_dict())
    with pytest.raises(RecipeError, match="optimizer: must be 'sgd' or 'adamw', not 'theirs'"):
        recipe.replace(epochs=3)


@pytest.mark.parametrize(
    ("column", "value", "cause"),
    [
        ("task", "{}", "task: names no dataset"),
        ("task", '{"dataset": "digits", "folds": "two"}', "task: folds is 'two'"),
        ("task", '{"dataset": "digits", "folds": 99}', "folds: must be from 1 to 20, not 99"),
        ("task", '{"dataset": "digits", "classes": true}', "task: classes is True"),
        (
            "task",
            '{"dataset": "digits", "kind": "boxes"}',
            "task: unknown key 'kind'; a newer version may have written",
        ),
        ("recipe", '{"epochs": 0}', "recipe: epochs: must be from 1 to 100000, not 0"),
        ("recipe", '{"augment": 3}', "recipe: augment: must be a mapping, not 3"),
        ("recipe", '{"momentumm": 0.9}', "recipe: unknown key 'momentumm'"),
        ("constraints", '{"macs": 5}', "constraints: macs is 5"),
        ("constraints", '{"macs": {"max": "many"}}', "constraints: macs is"),
    ],
)
def test_a_damaged_row_is_one_line_and_the_other_studies_are_listed(
    column: str, value: str, cause: str, database: Path, run: Run
) -> None:
    edit(database, "nas_studies", "first", **{column: value})
    code, out, err = run("study", "show", "first")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"a row is damaged: {cause}" in err
    assert run("study", "show", "second")[0] == 0
    code, out, err = run("study", "list", "--json")
    assert (code, err) == (0, "")
    assert [row["study"] for row in json.loads(out)] == ["first", "second"]
    assert [row["data"] for row in json.loads(out)] == [None if column == "task" else "digits", "digits"]


def test_the_table_of_studies_says_which_row_is_damaged(database: Path, run: Run) -> None:
    edit(database, "nas_studies", "first", task="{", objectives="5")
    code, out, _ = run("study", "list")
    assert code == 0
    assert ["damaged" in line for line in out.splitlines() if "nas_bench_macro" in line] == [True, False]
