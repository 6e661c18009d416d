"""Published networks as tables."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from nas.analysis.replicates import Summary
from nas.replays.results import past_replays
from nas.report.published_tables import claim_text, packed, print_configs
from nas.space.published import PublishedConfig, published_configs
from nas.store import Store
from nas.store.deviations import Deviation
from tests.store.filling import fill, make_study, measure


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        ([], []),
        (["79.8 %"], ["79.8 %"]),
        (["79.8 %", "8.0 M"], ["79.8 %, 8.0 M"]),
        (["79.8 %", "top5 95.1 %", "8.0 M"], ["79.8 %,", "top5 95.1 %,", "8.0 M"]),
    ],
)
def test_words_are_packed_and_never_broken(words: list[str], lines: list[str]) -> None:
    assert packed(words, 14) == lines


def shown(configs: list[PublishedConfig], replays: Mapping[str, Sequence[Summary]], width: int) -> str:
    file = io.StringIO()
    print_configs(Console(file=file, width=width), configs, replays)
    return file.getvalue()


def test_on_a_narrow_screen_every_claim_is_there_to_read() -> None:
    text = shown(published_configs(), {}, 80)
    assert "…" not in text.replace("<class>/…", "")
    for claim in PublishedConfig.load("balashov_densenet121").claims:
        assert claim_text(claim) in text


def test_the_list_tells_two_ways_apart(tmp_path: Path) -> None:
    recipe = [
        Deviation("lr", 0.1, 0.01),
        Deviation("nesterov", True, False),
        Deviation("clip_norm", 1.0, 0.0),
        Deviation("augment.flip", True, False),
    ]
    other = [
        Deviation("data", "cifar10", "cifar100"),
        Deviation("images", (3, 32, 32), (3, 64, 64)),
        Deviation("epochs", 5, 100),
        Deviation("classes", 10, 100),
        Deviation("parameters", 1000, 1090),
        Deviation("training images", 2, of=9),
        Deviation("images held out", 2, of=9),
    ]
    ways = [other, [*other, *recipe], [*other, Deviation("initial weights", "random", "IMAGENET1K_V2")]]
    with Store.open(f"sqlite:///{tmp_path / 'nas.db'}", create=True) as store:
        fill(store, make_study(store), 1)
        for place, deviations in enumerate(ways):
            values = {"published": "kong_aim", "key": str(place), "recipe": {"epochs": 5}, "fraction": 0.2}
            measure(store, "first", 0, "replay", deviations=deviations, **values)
    text = shown([PublishedConfig.load("kong_aim")], past_replays(f"sqlite:///{tmp_path}/nas.db"), 200)
    how = [line.partition("(1 seed)")[2].strip() for line in text.splitlines() if "(1 seed)" in line]
    plain = "digits, 5 epochs of 0.2 of the images"
    assert how == [plain, f"{plain}; lr 0.1, nesterov yes, clip_norm 1, 1 more", f"{plain}; random initial weights"]
