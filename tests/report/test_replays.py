"""Published networks as tables."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console

from nas.report.replays import claim_text, config_records, packed, print_configs
from nas.store.measurements import COLUMNS
from nas.study import PublishedConfig, published_configs


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
