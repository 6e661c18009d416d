"""What a run says: kept in a file, and in more words where somebody wants them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.replays import progress as trainings
from nas.searches.progress import Progress
from nas.searches.relay import Logged
from nas.text.log import LOG, close_log, masked, open_log, show_details
from nas.text.terminal import Terminal
from tests.conftest import Run
from tests.searches.test_progress import _feed


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_log()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:p@ss/w@host/x gone", "postgresql://me:***@host/x gone"),
        ("x?user=me&sslpassword=hidden&a=1", "x?user=me&sslpassword=***&a=1"),
        ("--token hidden --epochs 3", "--token *** --epochs 3"),
        ('{"api_key": "two words"}', '{"api_key": ***}'),
        ("trial 3: complete, 86.3 % at 10:20:30", "trial 3: complete, 86.3 % at 10:20:30"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_the_file_has_what_is_seen_and_details_with_times_in_harmless_characters(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    open_log(path)
    _feed(Logged(Progress()))
    LOG.debug("worker says \x1b[31mred\x1b[0m of sqlite://me:hidden@host")
    Terminal().print("the result\nin two lines")
    lines = path.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines)
    text = "\n".join(line[20:] for line in lines)
    assert "trial 1: diverged, no accuracy, 2,000 parameters: training loss is nan\n" in text
    assert "worker says \\x1b[31mred\\x1b[0m of sqlite://me:***@host\nthe result\nin two lines" in text
    assert "hidden" not in text


def test_details_are_shown_and_what_a_view_shows_is_not_shown_twice() -> None:
    seen: list[str] = []
    show_details()
    show_details(seen.append)
    view = trainings.Logged(trainings.Progress())
    view.note("a note")
    LOG.debug("a detail")
    assert seen == ["a detail"]


def test_an_error_is_in_the_file_too(run: Run, tmp_path: Path) -> None:
    code, _, err = run("retrain", "--study", "s", "--top", "1", "--trial", "2", "--log-file", "run.log")
    assert code == 2
    assert (tmp_path / "run.log").read_text().splitlines()[-1][20:] == err.strip()


def test_quiet_and_verbose_contradict_each_other_and_a_log_needs_a_folder(run: Run) -> None:
    assert "--quiet and --verbose: one or the other" in run("retrain", "--study", "s", "-q", "-v")[2]
    code, _, err = run("retrain", "--study", "s", "--log-file", "absent/run.log")
    assert (code, err.count("\n")) == (2, 1)
    assert "--log-file absent/run.log: cannot be written" in err
