"""A script that hands its own metric and loss to a search, on Ray, with a retraining behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.small_search import SPACE

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

SCRIPT = """\
import sys
import torch.nn.functional as F
import nas


def made(power):
    def gentle(outputs, labels):
        return F.cross_entropy(outputs, labels, label_smoothing=0.1) ** power

    return gentle


def mean_recall(probabilities, labels):
    right = probabilities.argmax(1) == labels
    return sum(right[labels == label].mean() for label in range(10)) / 10  # version 1


if __name__ == "__main__":
    recipe = nas.Recipe(optimizer="adamw", lr=0.02, schedule="wsd", ema=0.99, clip_norm=1.0, batch_size=16, epochs=3)
    try:
        result = nas.search(
            "tiny.yaml", metric=mean_recall, loss=made(float(sys.argv[1])), recipe=recipe, trials=2, retrain=1, study="own"
        )
    except nas.NasError as problem:
        print("told:", problem)
    else:
        print("found:", result.front["mean_recall"].max() > 0.2, result.final is not None, len(result.trials))
"""


def test_a_script_searches_by_its_own_metric_and_loss(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE)
    script = tmp_path / "script.py"
    environment = {name: value for name, value in os.environ.items() if name != "NAS_STORAGE"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def ran(text: str, power: str) -> str:
        script.write_text(text)
        ended = subprocess.run(
            [sys.executable, "script.py", power],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "found: True True 2" in ran(SCRIPT, "1.0")
    assert not list(tmp_path.glob("*.run.yaml")), "no file can hold a function"
    assert "found: True True 2" in ran(SCRIPT, "1.0"), "the same goes on"
    assert "another version of the metric 'mean_recall'" in ran(SCRIPT.replace("version 1", "version 2"), "1.0")
    assert "told: study 'own' in sqlite:///nas.db was begun with loss gentle " in ran(SCRIPT, "2.0")
