"""Several networks of one paper, replayed together: one table and one picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from nas.replays.in_process import replay_plans, run
from nas.replays.jobs import Ran
from nas.replays.options import TrainingOptions
from nas.replays.progress import Progress
from nas.report.paper_comparison import comparisons, measured, metrics, print_comparison
from nas.report.paper_comparison_pictures import draw_comparison
from nas.report.training_pictures import look
from nas.space.published import PublishedConfig
from tests.replays.conftest import write_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comparison")


@pytest.fixture(scope="module")
def rans(folder: Path) -> list[Ran]:
    """Two networks of one paper and one of another, each under two seeds."""
    config = write_config(folder)
    changes = {
        "tiny_two": [("conv.channels: 16", "conv.channels: 8"), ("value: 97.5", "value: 90.25")],
        "tiny_other": [("Nobody et al.", "Somebody et al."), ("conv.channels: 16", "conv.channels: 8")],
    }
    configs = [PublishedConfig.load(config)]
    for name, pairs in changes.items():
        text = config.read_text().replace("tiny_net", name)
        for old, new in pairs:
            text = text.replace(old, new)
        config.with_name(f"{name}.yaml").write_text(text)
        configs.append(PublishedConfig.load(config.with_name(f"{name}.yaml")))
    options = TrainingOptions(
        epochs=2,
        seeds=2,
        validation=0.2,
        fraction=0.3,
        device="cpu",
        threads=1,
        output=folder / "out",
        storage=f"sqlite:///{folder}/nas.db",
    )
    return list(run(replay_plans(configs, options), options, Progress()))


def test_networks_of_one_paper_stand_in_one_table_beside_what_it_prints(rans: list[Ran]) -> None:
    (group,) = comparisons(rans)  # the third is alone with its paper
    assert [ran.plan.title for ran in group] == ["tiny_net", "tiny_two"]
    assert metrics(group) == ["accuracy", "parameters"]
    file = io.StringIO()
    print_comparison(Console(file=file, width=100), group, [Path("a.png")])
    lines = file.getvalue().splitlines()
    assert lines[1] == "Nobody et al., On nothing"
    for ran, claim in zip(group, ("97.5", "90.25"), strict=True):
        row = next(line.split() for line in lines if line.split()[:1] == [ran.plan.title])
        values = measured(ran, "accuracy")
        assert row[1] == claim
        assert row[2:5] == [f"{np.mean(values):.2f}", "±", f"{np.std(values, ddof=1):.2f}"]
        assert row[5:7] == ["0.3", f"{ran.plan.cost.parameters / 1e6:.2f}"]
        assert row[7:] == ["2", "seeds"]
    assert lines[-1] == "  picture      a.png"


def test_the_pictures_hold_all_networks(rans: list[Ran]) -> None:
    (group,) = comparisons(rans)
    pictures = draw_comparison(group)
    assert [path.name for path in pictures] == ["comparison.png", "gradcam.png"]
    one = look(group[0])
    assert one is not None
    assert len(one.overlays) == len(one.predicted) == 8
    # a row of images and one a network, each 1.28 inches at 150 dots
    assert Image.open(pictures[1]).height == pytest.approx(150 * (1.28 * 3 + 0.85), abs=2)


def test_networks_on_other_data_have_no_common_grad_cam(rans: list[Ran], folder: Path, tmp_path: Path) -> None:
    pictures = draw_comparison(rans[:2])
    assert len(pictures) == 2
    options = TrainingOptions(
        epochs=1,
        image_size=16,
        fraction=0.1,
        device="cpu",
        threads=1,
        output=tmp_path / "out",
        storage=f"sqlite:///{tmp_path}/nas.db",
    )
    (other,) = run(replay_plans([PublishedConfig.load(folder / "tiny_two.yaml")], options), options, Progress())
    assert [path.name for path in draw_comparison([rans[0], other])] == ["comparison.png"]
