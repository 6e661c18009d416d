"""A search as a file: written beside its study, and taken by `nas search -c`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from nas.commands.search import command
from nas.config import block_files
from nas.config.recipe import OPTIMIZERS
from nas.searches.options import SearchOptions
from nas.searches.run_file import write_run
from nas.store import Store
from tests.conftest import Run


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a file of a test adds is not there after it."""
    yield
    for name in set(OPTIMIZERS) & {"of_a_run"}:
        OPTIMIZERS.remove(name)
    block_files._loaded.clear()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path}/nas.db", create=True)


def test_what_is_written_is_the_same_search_again(store: Store, tmp_path: Path) -> None:
    blocks = tmp_path / "mine.py"
    blocks.write_text('import nas\n\n\n@nas.register_optimizer("of_a_run")\ndef of_a_run(groups, recipe): ...\n')
    options = SearchOptions(
        space="attn_cnn",
        data="imagefolder:my photos",
        objectives=("accuracy", "macs"),
        limits={"activation_bytes": 2e6},
        max_parameters=5e5,
        gpus_per_trial="auto",
        seed_points="none",
        cache=False,
        time="2h",
        blocks=(str(blocks),),
        storage=f"sqlite:///{tmp_path}/nas.db",
    )
    path = write_run(options, "my study", store)
    assert path == tmp_path / "my-study.run.yaml"
    typed = command.make_context("search", ["-c", str(path)]).params
    again = SearchOptions(**{name: typed[name] for name in options.__dataclass_fields__})
    assert again == SearchOptions(**{**options.__dict__, "study": "my study"})
    assert set(yaml.safe_load(path.read_text())) == {
        *("space", "data", "objectives", "limits", "max_parameters", "gpus_per_trial", "seed_points", "cache", "time"),
        *("blocks", "storage", "study"),
    }


def test_what_is_typed_counts_more(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("space: attn_cnn\ntrials: 8\nmax_parameters: 500k\n")
    typed = command.make_context("search", ["-c", str(tmp_path / "run.yaml"), "--trials", "9"]).params
    assert (typed["space"], typed["trials"], typed["max_parameters"]) == ("attn_cnn", 9, 500e3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("space: attn_cnn\ntrails: 8\n", "run.yaml:2: a run: unknown key 'trails'; did you mean 'trials'?"),
        ("space: attn_cnn\ntrials: many\n", "run.yaml:2: trials: 'many' is not a valid integer"),
        ("space: attn_cnn\nmax_macs: -1\n", "run.yaml:2: max_macs: must be a number above 0"),
        ("space: attn_cnn\ncache: perhaps\n", "run.yaml:2: cache: 'perhaps' is not a valid boolean"),
        ("space: [attn_cnn]\n", "run.yaml:1: space: must be one value, not a list"),
        ("trials: {a: 1}\n", "run.yaml:1: trials: must be one value, not a mapping"),
        ("objectives: accuracy macs\nspace: x\n", "no objective 'accuracy macs'"),
        ("- space\n", "run.yaml:1: a run must be a mapping"),
        ("trials: 8\n", "Missing option '--space'"),
        ("", "the file is empty"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_with_its_place(run: Run, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    code, _, err = run("search", "-c", str(tmp_path / "run.yaml"))
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_password_is_not_written(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "postgresql+psycopg://nas:s3cret@host/db"
    monkeypatch.setattr(store, "url", store.url.set(drivername="postgresql+psycopg", password="s3cret"))
    monkeypatch.chdir(tmp_path)
    path = write_run(SearchOptions(space="attn_cnn", storage=secret), "first", store)
    assert path is not None
    assert "s3cret" not in path.read_text()
    assert "NAS_STORAGE" in path.read_text()


def test_a_space_that_python_made_is_in_no_file(store: Store) -> None:
    from nas.space.space import Space

    assert write_run(SearchOptions(space=Space.load("plain")), "first", store) is None
