"""What a replay did otherwise is stored as data; sentences of an older version are kept as they are."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from nas.errors import StorageError
from nas.store import Store
from nas.store.deviations import Deviation
from tests.conftest import Run
from tests.store.filling import fill, make_study, measure

FOUND = {
    "data digits instead of cifar10": Deviation("data", "digits", "cifar10"),
    "images of 1×16×16 instead of 3×32×32": Deviation("images", (1, 16, 16), (3, 32, 32)),
    "10 classes instead of 100": Deviation("classes", 10, 100),
    "therefore 11,358,474 parameters instead of 11,374,986": Deviation("parameters", 11_358_474, 11_374_986),
    "1 epoch instead of 100": Deviation("epochs", 1, 100),
    "5 epochs instead of the search's 1": Deviation("epochs", 5, 1, searched=True),
    "1,041 steps instead of the search's 68": Deviation("steps", 1041, 68, searched=True),
    "lr 0.1 instead of 0.05": Deviation("lr", 0.1, 0.05),
    "augment.flip no instead of yes": Deviation("augment.flip", False, True),
    "clip_norm 0 instead of 1": Deviation("clip_norm", 0.0, 1.0),
    "milestones [0.5, 0.75] instead of [100, 150]": Deviation("milestones", (0.5, 0.75), (100.0, 150.0)),
    "random initial weights instead of IMAGENET1K_V2": Deviation("initial weights", "random", "IMAGENET1K_V2"),
    "1,287 of 1,433 training images held out for the validation curves": Deviation("images held out", 1287, of=1433),
    "287 of 1,433 training images, the same share of every class": Deviation("training images", 287, of=1433),
    "1,433 of 1,433 training images, the same share of every class, where the paper takes 0.333 of them": Deviation(
        "training images", 1433, 1 / 3, of=1433
    ),
    "0.5 of the training images (1,000), of every class alike": Deviation(
        "share of the images", 0.5, of=1000, searched=True
    ),
}
"""As an older version worded and stored them, and as they are stored."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A published network that was replayed twice: by an older version, and by this one."""
    path = tmp_path / "nas.db"
    with Store.open(f"sqlite:///{path}", create=True) as store:
        fill(store, make_study(store), 1)
        recipe = {"epochs": 1}
        for key in ("older", "now"):
            measure(
                store, "first", 0, "replay", key=key, published="kong_aim", recipe=recipe, deviations=[*FOUND.values()]
            )
    write(path, json.dumps(list(FOUND)))
    return path


def write(path: Path, text: str) -> None:
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE nas_measurements SET deviations = ? WHERE key = 'older'", (text,))
    opened.close()


def test_they_are_read_as_they_were_written(database: Path) -> None:
    with Store.open(f"sqlite:///{database}") as store:
        older, now = store.measurements()["deviations"]
    assert now == list(FOUND.values())
    assert older == list(map(str, now)) == list(FOUND)


def test_both_are_told_in_the_same_words(database: Path, run: Run) -> None:
    code, out, _ = run("replay", "kong_aim", "--list", "--json", "--storage", f"sqlite:///{database}")
    assert code == 0
    (record,) = json.loads(out)
    assert [way["deviations"] for way in record["measured"]] == [list(FOUND)] * 2


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "[5]",
        '[{"what": "lr"}]',
        '[{"what": "lr", "here": 1, "color": 2}]',
        '[{"what": "parameters", "here": "x"}]',
        '[{"what": "classes", "here": {"a": 1}}]',
        '[{"what": 5, "here": 1}]',
        '[{"what": "training images", "here": 5, "of": "many"}]',
    ],
)
def test_what_is_no_deviation_is_one_line(text: str, database: Path) -> None:
    write(database, text)
    with (
        Store.open(f"sqlite:///{database}") as store,
        pytest.raises(StorageError, match="a row is damaged: .*deviation") as problem,
    ):
        store.measurements()
    assert len(str(problem.value).splitlines()) == 1
