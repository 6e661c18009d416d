"""Which studies a search learns of beside its own trials."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from click.testing import CliRunner

from nas.cli import cli
from nas.config.recipe import Recipe
from nas.config.task import LoadedTask
from nas.errors import SearchError
from nas.searches.earlier_studies import (
    MOST_BYTES,
    MOST_ROWS,
    earlier_studies,
    earlier_trials,
    file_trials,
    shipped_line,
    shipped_trials,
)
from nas.space.space import Space
from nas.store import Store
from tests.searches.simulated import SimulatedTune, make_study


@pytest.fixture
def earlier(store: Store, space_file: Path) -> str:
    """A study of four complete trials."""
    tune = SimulatedTune(store, space_file, study="earlier", trials=4)
    with store.claim("earlier"):
        tune.run(workers=1)
    return "earlier"


def test_complete_trials_of_a_study_over_the_same_space(store: Store, earlier: str, space_file: Path) -> None:
    make_study(store, Space.load(space_file), "now", Recipe())
    found = earlier_trials(store, earlier, store.study("now"))
    trials = store.trials(earlier)
    assert [(one.assignment, one.value) for one in found] == list(
        zip(trials["assignment"], trials["accuracy"], strict=True)
    )


@pytest.mark.parametrize("name", ["trials.csv", "trials.csv.gz"])
def test_a_file_that_was_exported_tells_what_its_study_does(
    name: str, store: Store, earlier: str, space_file: Path, tmp_path: Path
) -> None:
    make_study(store, Space.load(space_file), "now", Recipe())
    runner = CliRunner()
    done = runner.invoke(cli, ["study", "export", earlier, "--storage", store.url, "-o", str(tmp_path / "trials.csv")])
    assert done.exit_code == 0, done.output
    if name.endswith("gz"):
        (tmp_path / name).write_bytes(gzip.compress((tmp_path / "trials.csv").read_bytes()))
    now, space = store.study("now"), Space.load(space_file)
    found = earlier_studies([str(tmp_path / name), earlier], store, now, space)
    assert found[0] == found[1]


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
    with pytest.raises(SearchError, match="prior: none stands alone, not beside empty"):
        earlier_studies(["none", "empty"], store, now, Space.load(space_file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("trial,loss\n1,2\n", "must have a column accuracy and one for each choice, choice.…"),
        ("accuracy,choice.stem\n", "no network of the space plain; it has no row of a complete trial"),
        ("accuracy,choice.stem\n0.5,what\n", "no network of the space plain; line 2: the choice '"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        ("accuracy,choice.stem\n81.3,what\n", "line 2: accuracy must be from 0 to 1, not 81.3"),
        ("choice.stem,accuracy\nwhat\n", 'line 2: accuracy must be a number, not ""'),
        ("accuracy,choice.stem\n1e308,what\n", 'line 2: accuracy must be a number, not "1e308"'),
        (
            "accuracy,validation_images,choice.stem\n0.5,0,what\n",
            "validation_images must be a whole number from 1 on, not 0",
        ),
        ('accuracy,choice.stem\n"' + "x" * 200_000, "cannot be read: field larger than field limit"),
    ],
)
def test_files_that_tell_nothing_are_refused(text: str | bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SearchError, match="prior: .*trials.csv: ") as problem:
        file_trials(path, Space.load("plain"), "accuracy")
    assert said in str(problem.value)


def test_a_damaged_archive_is_said_to_be(tmp_path: Path) -> None:
    path, whole = tmp_path / "trials.csv.gz", gzip.compress(b"accuracy,choice.stem\n" + bytes(range(97, 123)) * 9)
    for place in range(10, len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(SearchError, match=r"prior: .*trials.csv.gz: (cannot be read|must have a column|no text)"):
            file_trials(path, Space.load("plain"), "accuracy")


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b"x" * (MOST_BYTES + 1), "holds more than 128 MiB"),
        (b",\n" * (MOST_ROWS + 1), "has more than 100,000 rows"),
    ],
)
def test_what_an_archive_holds_is_bounded(rest: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv.gz"
    path.write_bytes(gzip.compress(b"accuracy,choice.stem\n" + rest, 1))
    with pytest.raises(SearchError, match=said):
        file_trials(path, Space.load("plain"), "accuracy")


@pytest.mark.parametrize("sampler", ["pareto", "tpe"])
def test_who_learns_of_them_says_so(sampler: str, store: Store, space_file: Path) -> None:
    assert SimulatedTune(store, space_file, sampler=sampler).proposer.recalls == (sampler == "pareto")


@pytest.mark.parametrize(
    ("shape", "named", "learns"),
    [((3, 32, 32), [], True), ((1, 32, 32), [], False), ((3, 224, 224), [], False), ((3, 32, 32), ["none"], False)],
)
def test_a_search_of_photos_learns_of_the_networks_that_are_shipped(
    shape: tuple[int, ...], named: list[str], learns: bool, store: Store
) -> None:
    space = Space.load("attn_cnn")
    store.create_study(
        "photos",
        space=space,
        task=LoadedTask("invented", fingerprint="x", input=shape),
        recipe=Recipe(),
        objectives=["accuracy", "parameters"],
    )
    found = earlier_studies(named, store, store.study("photos"), space)
    assert len(found) == learns
    if learns:
        assert f"learns of {len(found[0])} networks" in shipped_line(found, space)


def test_every_network_that_is_shipped_is_one_of_its_space() -> None:
    space = Space.load("attn_cnn")
    with gzip.open(shipped_trials(space), "rt") as file:
        lines = file.read().splitlines()
    found = file_trials(shipped_trials(space), space, "accuracy")
    assert len(found) == len(lines) - 1 >= 130
    assert all(0.1 < one.value < 0.8 and one.measured_on == 1_000 for one in found)


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    space = Space.load("attn_cnn")
    rows = gzip.decompress(shipped_trials(space).read_bytes()).decode().splitlines()
    path, said = tmp_path / "trials.csv", []
    path.write_text("\n".join([*rows[:4], rows[4].replace('"', '"no', 5), "0.3"]) + "\n")
    assert len(file_trials(path, space, "accuracy", said.append)) == 3
    (line,) = said
    assert "2 of 5 rows are left out" in line
    assert "line 6: " in line
