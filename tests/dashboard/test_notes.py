"""Notes: what comes from a database is data in Markdown."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest
import yaml

from nas.config.shipped_files import every
from nas.dashboard.notes import trial_note
from nas.store import Store
from nas.text.markdown import block, code, folded, plain, table
from tests.dashboard.conftest import detail


@pytest.fixture
def note(store: Store) -> str:
    row = store.trials("first").iloc[0].to_dict()
    return trial_note(store.study("first"), row, "sqlite:///nas.db", curve=True)


def test_a_trial_says_what_it_costs_and_what_to_do_with_it(store: Store, note: str) -> None:
    trial = store.trial("first", 0)
    assert f"{trial.parameters:,}" in note
    assert f"/nas/network/1/{trial.hash}.svg" in note
    assert "/nas/curve/1/0.svg" in note
    for command in ("nas export 0 --study first -o network.py", "nas retrain --trial 0 --study first"):
        assert command in note


def test_commands_name_the_database_and_quote_the_study(store: Store) -> None:
    study = dataclasses.replace(store.study("first"), name="my study; rm -rf '~' `x`")
    row = store.trials("first").iloc[0].to_dict()
    text = trial_note(study, row, "sqlite:////tmp/a b.db", curve=False)
    (line,) = [line for line in text.splitlines() if line.startswith("nas export")]
    words = shlex.split(line)
    assert words[3:7] == ["--study", "my study; rm -rf '~' `x`", "--storage", "sqlite:////tmp/a b.db"]


def test_a_reason_is_text(address: str) -> None:
    (failed,) = [trial for trial in detail(address)["trials"] if "loud" in str(trial)]
    note = failed["note"]["body"]
    assert note.startswith("**failed**: `<b>bold</b> ∣ **loud** ![x](http://x.example/)`")
    study = detail(address)["note"]["body"]
    assert "`<b>bold</b> ∣ **loud** ![x](http://x.example/)` |" in study
    assert "diverged" in study


def test_plain_keeps_one_line() -> None:
    assert plain("a\n# b\t`c`") == r"a \# b \`c\`"


@pytest.mark.parametrize(
    ("text", "span"), [("a b", "`a b`"), ("a `b`", "`` a `b` ``"), ("``", "``` `` ```"), ("x|y", "`x∣y`"), ("", "")]
)
def test_code_stays_in_its_span(text: str, span: str) -> None:
    assert code(text) == span


def test_no_text_leaves_its_block() -> None:
    lines = block("yaml", "a\n```\n# out\n````x")
    assert lines[0] == "`````yaml"
    assert lines[-1] == "`````"


def test_a_table_has_as_many_cells_in_each_line() -> None:
    lines = table(("a", "b"), [("1", plain("x|y"))], (0,))
    assert [line.replace(r"\|", "").count("|") for line in lines] == [3, 3, 3]


@pytest.mark.parametrize("path", every("search_spaces"), ids=lambda path: path.stem)
def test_a_folded_space_says_the_same(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(folded(text)) == yaml.safe_load(text)
    assert max(map(len, folded(text).splitlines())) <= 110
