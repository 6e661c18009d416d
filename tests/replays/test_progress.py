"""What is shown while networks train, one or several at once."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from nas.replays.progress import Lines, LiveView
from nas.train import Epoch


def epoch(number: int) -> Epoch:
    return Epoch(number, 1.25, math.nan, math.nan, math.nan, 1.0, 1234.0, 0.1, 0.5)


def test_a_line_for_each_epoch_of_each_training(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.begin("first seed 0", 9, 0)
    lines.begin("second seed 1", 4, 2)
    lines.epoch("first seed 0", epoch(1))
    lines.epoch("second seed 1", epoch(3))
    assert capsys.readouterr().err.splitlines() == [
        "second seed 1: resumes after epoch 2 of 4",
        "first seed 0: epoch 1/9, loss 1.250, training accuracy 50.0%, 1,234 images/s",
        "second seed 1: epoch 3/4, loss 1.250, training accuracy 50.0%, 1,234 images/s",
    ]


def test_a_bar_for_each_training_that_runs() -> None:
    file = io.StringIO()
    view = LiveView(Console(file=file, force_terminal=True, width=140))
    view.begin("first seed 0", 9, 0)
    view.begin("second seed 1", 4, 2)
    assert view.bars is not None
    bars = view.bars
    view.epoch("second seed 1", epoch(3))
    assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
        ("first seed 0", 0, 9),
        ("second seed 1", 3, 4),
    ]
    view.end("first seed 0")
    view.end("first seed 0")  # told twice: once is enough
    assert [task.description for task in bars.tasks] == ["second seed 1"]
    view.end("second seed 1")
    assert view.bars is None
    assert not bars.live.is_started
    assert "second seed 1" in file.getvalue()
