"""Which network a word means: numbers, hashes, names and files, and one line for each that means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.errors import NasError
from nas.network.lookup import Network, find_network
from nas.store import Store
from tests.store.filling import fill, make_study

TASK = {"dataset": "digits", "root": None, "validation": 0.2, "seed": 0, "input": [3, 32, 32], "classes": 10}


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """Two studies of three trials each."""
    url = f"sqlite:///{tmp_path / 'nas.db'}"
    with Store.open(url, create=True) as store:
        for place, name in enumerate(("first", "second")):
            make_study(store, name, task=TASK)
            fill(store, name, 3, seed=place)
    return url


def test_a_trial_by_number_study_and_hash(storage: str) -> None:
    by_number = find_network("1", study="second", storage=storage)
    assert (by_number.study, by_number.trial, by_number.input, by_number.classes) == ("second", 1, (3, 32, 32), 10)
    with Store.open(storage) as store:
        row = store.trial("second", 1)
    assert by_number.architecture.hash == row.hash
    assert by_number.cost.parameters == row.parameters
    assert by_number.searched == row.values["accuracy"]
    assert find_network("second:1", storage=storage) == by_number
    assert find_network(row.hash, storage=storage) == by_number
    assert find_network(row.hash[:12], storage=storage) == by_number


def test_the_most_accurate_trial(storage: str, tmp_path: Path) -> None:
    with Store.open(storage) as store:
        trials = store.trials("second")
        make_study(store, "empty", task=TASK)
    complete = trials[trials["state"] == "complete"]
    best = find_network("best", study="second", storage=storage)
    assert best.searched == complete["accuracy"].max()
    assert find_network("second:best", storage=storage) == best
    with pytest.raises(NasError, match="study 'empty' has no complete trial yet"):
        find_network("empty:best", storage=storage)


def test_a_published_config_for_its_own_and_for_other_images() -> None:
    found = find_network("kong_aim_cam")
    assert (found.published, found.cost.parameters, found.stem) == ("kong_aim_cam", 11_374_986, "kong_aim_cam")
    other = find_network("kong_aim_cam", input=(1, 28, 28), classes=7)
    assert (other.input, other.classes) == ((1, 28, 28), 7)
    assert other.cost.parameters < found.cost.parameters


def test_an_architecture_in_a_file(tmp_path: Path) -> None:
    config = find_network("kong_baseline")
    bare, card = tmp_path / "bare.json", tmp_path / "card.json"
    bare.write_text(config.architecture.to_json())
    card.write_text(
        json.dumps({"architecture": json.loads(config.architecture.to_json()), "input": [3, 32, 32], "classes": 5})
    )
    found: Network = find_network(str(bare), input=(3, 32, 32))
    assert found.architecture == config.architecture
    assert find_network(str(card)).classes == 5


@pytest.mark.parametrize(
    ("word", "options", "message"),
    [
        ("1", {}, "name a study; there are: first, second"),
        ("7", {"study": "first"}, "no trial 7; they are numbered from 0 to 2"),
        ("1", {"study": "frist"}, "did you mean 'first'?"),
        ("third:1", {}, "no study 'third'"),
        ("first:one", {}, "'first:one' is neither the number or hash of a trial, nor 'best'"),
        ("kong_aim_cm", {}, "did you mean 'kong_aim_cam'?"),
        ("²", {"study": "first"}, "'²' is neither the number"),
        ("first:²", {}, "'first:²' is neither the number"),
        ("first:" + "9" * 18, {}, "no trial 999999999999999999; they"),
        ("first:" + "9" * 5_000, {}, "9…: no path (File name too long)"),
        ("~nobody_of_this_name/x", {}, "is neither the number"),
        ("a" * 5_000 + ".json", {}, "aaa…: no path (File name too long)"),
        ("a\0b.json", {}, "is neither the number"),
        ("0123456789abcdef", {}, "no trial whose hash begins with '0123456789abcdef'"),
        ("kong_aim_cam", {"input": (3, 2, 2)}, "kong_aim_cam: cannot take images of 3×2×2"),
        ("bare.json", {}, "give it with --input"),
        ("broken.json", {}, "cannot be read as JSON"),
    ],
)
def test_what_means_nothing_is_said_in_one_line(
    word: str, options: dict[str, object], message: str, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.json").write_text(find_network("kong_baseline").architecture.to_json())
    Path("broken.json").write_text("{")
    with pytest.raises(NasError, match=r"(?s).*") as problem:
        find_network(word, storage=storage, **options)  # type: ignore[arg-type]
    assert message in str(problem.value)
    assert len(str(problem.value).splitlines()) == 1
