"""A study whose row lacks fields of today is continued where nothing else is different."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

import nas
from nas.config.recipe import Recipe
from nas.data import Task, load
from nas.errors import SearchError
from nas.space.space import Space
from nas.store import Store
from tests.store.filling import fill

RECIPE = Recipe(epochs=2)
LATER = {"task": ("folds", "validation_images"), "recipe": ("mixup", "mixup_epochs", "steps", "ema")}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """Two finished trials of a study whose row lacks what was added later."""
    path = tmp_path / "nas.db"
    data = load(Task("digits", validation=0.25))
    with Store.open(f"sqlite:///{path}", create=True) as store:
        store.create_study(
            "old",
            space=Space.load("nas_bench_macro"),
            task=replace(data.loaded_task, validation_images=len(data.validation)),
            recipe=RECIPE,
            objectives=["accuracy", "parameters"],
        )
        fill(store, "old", 2)
    with sqlite3.connect(path) as opened:
        for column, names in LATER.items():
            value = json.loads(opened.execute(f"SELECT {column} FROM nas_studies").fetchone()[0])
            for name in names:
                del value[name]
            opened.execute(f"UPDATE nas_studies SET {column} = ?", (json.dumps(value),))
    opened.close()
    return f"sqlite:///{path}"


def search(storage: str, **changes: object) -> nas.SearchResult:
    options = {"study": "old", "storage": storage, "validation": 0.25, "recipe": RECIPE, "trials": 2, "retrain": 0}
    return nas.search("nas_bench_macro", scheduler="none", **options | changes)  # type: ignore[arg-type]


def test_it_is_continued(storage: str) -> None:
    result = search(storage)
    assert (result.ended, len(result.trials)) == ("done", 2)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"recipe": RECIPE.replace(mixup=0.2)}, "mixup 0.0, not 0.2"),
        ({"validation": 0.2}, "validation 0.25, not 0.2"),
        ({"folds": 3, "validation": None}, "folds 1, not 3"),
        ({"image_size": 32}, "image_size None, not 32"),
    ],
)
def test_what_is_different_is_told(change: dict[str, object], told: str, storage: str) -> None:
    with pytest.raises(SearchError, match=f"was begun with .*{told}"):
        search(storage, **change)
