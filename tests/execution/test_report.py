"""What crosses from a worker to the driver: the same on both sides, and nothing else is let in."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from nas.errors import SearchError
from nas.execution.report import Begun, Evaluated, Report
from nas.states import State
from nas.statistics.scores import Score
from nas.train import Epoch, Retry, Verdict, environment

EPOCH = Epoch(1, 2.0, 1.5, 0.5, 0.9, 0.25, 1000.0, 0.1, 0.4)
WHOLE = Report(
    begun=Begun("bf16", (EPOCH,), "2026-01-02T03:04:05"),
    epoch=EPOCH,
    verdict=Verdict(State.OUT_OF_MEMORY, "MemoryError", retire=True, retry=Retry.ALONE),
    tested=Evaluated("/weights", {"test": Score.of_counts((1, 2), (2, 2))}),
    seconds=2.5,
    device="cpu: Intel",
    environment=environment(),
    peak_memory=1 << 30,
)


@pytest.mark.parametrize("report", [Report(), WHOLE])
def test_what_a_worker_says_is_what_the_driver_reads(report: Report) -> None:
    assert Report.from_json(report.to_json()) == report


def test_an_epoch_that_was_not_measured_says_so() -> None:
    """A replay without validation images has no accuracy until its test."""
    unmeasured = Epoch(1, 2.0, math.nan, math.nan, math.nan, 0.25, 1000.0, 0.1)
    read = Report.from_json(Report(epoch=unmeasured).to_json()).epoch
    assert read is not None
    assert math.isnan(read.accuracy)
    assert read.train_loss == 2.0


def _changed(path: str, value: Any) -> str:
    data = json.loads(WHOLE.to_json())
    *parents, last = path.split(".")
    inner = data
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_changed("epoch.accuracy", "0.5"), 'report.epoch.accuracy: must be a number, not "0.5"'),
        (_changed("epoch.accuracy", True), "report.epoch.accuracy: must be a number, not true"),
        (_changed("epoch.epoch", 1.5), "report.epoch.epoch: must be of type int, not 1.5"),
        (_changed("epoch", [1]), "report.epoch: must be a mapping, not [1]"),
        (_changed("verdict.state", "fine"), "report.verdict.state: must be one of complete, untrained, "),
        (_changed("verdict.retire", 1), "report.verdict.retire: must be of type bool, not 1"),
        (_changed("begun.epochs", {}), "report.begun.epochs: must be a list, not {}"),
        (_changed("begun.epochs", [1]), "report.begun.epochs[0]: must be a mapping, not 1"),
        (
            _changed("tested.scores.test.metrics", {"accuracy": 0.5}),
            "report.tested.scores.test.metrics.accuracy: must be a mapping, not 0.5",
        ),
        (_changed("environment.cores", [2]), "report.environment.cores: must be str or int, not [2]"),
        (_changed("device", None), "report.device: must be of type str, not null"),
        (_changed("later", 1), "report: must have begun, epoch, verdict, "),
        ('{"epoch": 1, "state": null}', "report: must have begun, epoch, verdict, "),
        ("[]", "report: must be a mapping, not []"),
        ("no JSON", "Expecting value"),
    ],
)
def test_a_report_of_other_code_is_one_clear_error(text: str, says: str) -> None:
    with pytest.raises(SearchError) as refused:
        Report.from_json(text)
    assert str(refused.value).startswith(f"a worker reports what this nas cannot read: {says}")
    assert str(refused.value).endswith("; every machine of a cluster needs the same version of nas")
    assert "\n" not in str(refused.value)
