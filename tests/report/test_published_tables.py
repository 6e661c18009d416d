"""Published networks as tables."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from nas.report.published_tables import claim_text, config_records, packed, print_configs
from nas.space.published import PublishedConfig, published_configs
from nas.store.measurements import COLUMNS


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


def test_on_a_narrow_screen_every_claim_is_there_to_read() -> None:
    configs = published_configs()
    file = io.StringIO()
    print_configs(Console(file=file, width=80), config_records(configs, pd.DataFrame(columns=list(COLUMNS))), configs)
    text = file.getvalue()
    assert "…" not in text
    for claim in PublishedConfig.load("balashov_densenet121").claims:
        assert claim_text(claim) in text


def test_the_list_tells_two_ways_apart() -> None:
    configs = [PublishedConfig.load("kong_aim")]
    records = config_records(configs, pd.DataFrame(columns=list(COLUMNS)))
    way = {"data": "cifar10", "epochs": 5, "fraction": 0.2, "accuracies": [0.5], "accuracy": 0.5, "std": None}
    recipe = [
        "lr 0.1 instead of 0.01",
        "nesterov yes instead of no",
        "clip_norm 1 instead of 0",
        "flip yes instead of no",
    ]
    other = [
        "data cifar10 instead of cifar100",
        "5 epochs instead of 100",
        "10 classes instead of 100",
        "2 of 9 training images",
    ]
    records[0]["measured"] = [
        {**way, "states": ["complete"], "deviations": [*other]},
        {**way, "states": ["complete"], "deviations": [*other, *recipe]},
    ]
    file = io.StringIO()
    print_configs(Console(file=file, width=200), records, configs)
    how = [line.partition("(1 seed)")[2].strip() for line in file.getvalue().splitlines() if "(1 seed)" in line]
    plain = "cifar10, 5 epochs of 0.2 of the images"
    assert how == [plain, f"{plain}; lr 0.1, nesterov yes, clip_norm 1, 1 more"]
