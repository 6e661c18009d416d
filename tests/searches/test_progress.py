from __future__ import annotations

import io
import time

import pandas as pd
from rich.console import Console

from nas.architecture.cost import Cost
from nas.searches.options import UNTIL_TIME
from nas.searches.progress import EndedTrial, Lines, LiveView, Progress, duration

EMPTY = pd.DataFrame(
    {"trial": [], "hash": [], "state": [], "accuracy": [], "parameters": [], "macs": [], "published": []}
)


def _trial(
    number: int, state: str = "complete", accuracy: float | None = 0.5, reason: str = "training loss is nan"
) -> EndedTrial:
    return EndedTrial(
        trial=number,
        hash=str(number),
        cost=Cost(1000 * (number + 1), 5000, 1),
        published="kong_aim" if number == 0 else None,
        state=state,
        accuracy=accuracy,
        reason=None if state == "complete" else reason,
        seconds=1.0,
        source=3 if number == 2 else None,
    )


def _feed(view: Progress) -> None:
    view.begin("study", EMPTY, ("accuracy", "parameters"), 5, time.monotonic() + 100)
    view.started(2)
    view.finished(_trial(0), 1)
    view.finished(_trial(1, "diverged", None), 1)
    view.finished(_trial(2, accuracy=0.875), 0)
    view.end()


def test_the_live_view_shows_counts_front_hypervolume_and_time_left() -> None:
    out = io.StringIO()
    view = LiveView(Console(file=out, force_terminal=True, width=120))
    view.note("before anything starts")
    _feed(view)
    shown = out.getvalue()
    for part in (
        "3/5 done",
        "1 failed",
        "1 cached",
        "hypervolume",
        "left",
        "87.50%",
        "kong_aim",
        "diverged",
        "before anything",
    ):
        assert part in shown, part


def test_a_view_that_never_began_may_end() -> None:
    LiveView(Console(file=io.StringIO())).end()


def test_lines_say_what_each_trial_did(capsys: object) -> None:
    view = Lines()
    _feed(view)
    output = capsys.readouterr()  # type: ignore[attr-defined]
    assert output.out == ""
    lines = output.err.splitlines()
    assert len(lines) == 3
    assert "trial 1: diverged, no accuracy, 2,000 parameters: training loss is nan" in lines[1]


def test_durations_read_like_speech() -> None:
    assert [duration(seconds) for seconds in (12, 200, 3900)] == ["12 s", "3 min 20 s", "1 h 5 min"]


def test_what_is_trained_beyond_the_budget_does_not_make_the_count_odd(capsys: object) -> None:
    """Trials that were stopped and are trained to their end after all."""
    view = Lines()
    view.begin("study", EMPTY, ("accuracy", "parameters"), 1, None, 358)
    view.finished(_trial(0), 1)
    view.finished(_trial(1, "untrained", 0.101, "chance"), 0)
    first, second = capsys.readouterr().err.splitlines()  # type: ignore[attr-defined]
    assert "trial 0 kong_aim: complete, 50.0 ± 2.6 %, 1,000 parameters" in first
    assert "[1/1 done" in first
    assert "trial 1: untrained, 10.1 ± 1.6 %, 2,000 parameters: chance" in second
    assert "[2/2 done · 0 running · 0 failed · 1 untrained" in second


def test_a_search_that_its_time_ends_counts_trials_and_shares_of_time(capsys: object) -> None:
    view = Lines()
    view.begin("study", EMPTY, ("accuracy", "parameters"), UNTIL_TIME, time.monotonic() + 1e9, 358)
    view.finished(_trial(0), 1)
    assert "[1 done · " in capsys.readouterr().err  # type: ignore[attr-defined]
    assert view.share() < 0.01
    view.deadline = view.began
    assert view.share() == 1.0
