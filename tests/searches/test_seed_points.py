"""Which published networks a search starts from, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from nas.commands.search import command
from nas.data import Dataset, Task
from nas.data.task import make_dataset
from nas.errors import SearchError
from nas.searches.options import SearchOptions
from nas.searches.progress import Progress
from nas.searches.seed_points import choose_seeds
from nas.space.space import Space

KONG = "kong_aim_cam"


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def images(size: int) -> Dataset:
    x = np.zeros((40, 3, size, size), dtype=np.uint8)
    names = tuple("abcdefghij")
    return make_dataset(Task("digits"), x, np.arange(40, dtype=np.int64) % 10, names)


def seeds(space: Space, trials: int, which: str = "auto", size: int = 32) -> tuple[list[str], list[str]]:
    notes = Notes()
    points = choose_seeds(space, images(size), trials, which, notes)
    return [point.config.name for point in points], notes.notes


@pytest.mark.parametrize("trials", [1, 6, 12, 32])
def test_the_networks_marked_first_are_among_the_seeds_of_any_search(trials: int) -> None:
    names, notes = seeds(Space.load("attn_cnn"), trials)
    assert names[0] == KONG
    assert len(names) == max(1, trials // 6)
    assert len(notes) == 1
    assert notes[0].startswith(f"published networks that start the search: {', '.join(names)}, {len(names)} of ")


def test_behind_them_stand_the_proposals_of_the_other_papers_the_smaller_first() -> None:
    names, _ = seeds(Space.load("attn_cnn"), 42)
    assert names[:3] == [KONG, "banbury_resnet8", "davis_attention_cnn"]
    assert names[3:6] == ["jiang_amsra_net", "mandalika_resnet18", "balashov_aicnn"]


def test_all_are_all_that_fit_and_none_is_none() -> None:
    space = Space.load("attn_cnn")
    names, notes = seeds(space, 6, "all")
    assert len(names) > 20
    assert names[0] == KONG
    assert f"and {len(names) - 5} more, {len(names)} of {len(names)} that fit" in notes[0]
    assert seeds(space, 600, "none") == ([], [])


def test_what_breaks_a_constraint_is_never_trained_and_the_line_says_so() -> None:
    names, notes = seeds(Space.load("attn_cnn").limit(parameters=5e6), 6)
    assert names == ["banbury_resnet8"]
    assert "outside of parameters at most 5,000,000: " in notes[0]
    assert "kong_aim_cam among them" in notes[0]
    names, notes = seeds(Space.load("attn_cnn").limit(parameters=5e4), 6)
    assert names == []
    assert notes[0].startswith("published networks that start the search: none; outside of parameters at most 50,000: ")


def test_networks_that_need_larger_images_are_counted() -> None:
    names, notes = seeds(Space.load("attn_cnn"), 6, size=16)
    assert names[0] == KONG  # four times halved, one position is left
    assert "; no room in images of 3×16×16: " in notes[0]


def test_a_space_without_published_networks_says_nothing() -> None:
    assert seeds(Space.load("nas_bench_macro"), 6) == ([], [])


def test_the_old_spellings_mean_what_they_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SearchOptions("attn_cnn", seed_points=True).seed_points == "auto"
    assert SearchOptions("attn_cnn", seed_points=False).seed_points == "none"
    asked: list[object] = []

    def search(options: SearchOptions, progress: Progress) -> None:
        asked.append(options.seed_points)
        raise SearchError("enough is known")

    monkeypatch.setattr("nas.searches.search.search", search)
    for words in (
        ["--no-seed-points"],
        ["--seed-points"],
        ["--seed-points", "all"],
        ["--seed-points", "--trials", "3"],
        [],
    ):
        CliRunner().invoke(command, ["--space", "attn_cnn", *words])
    assert asked == ["none", "auto", "all", "auto", "auto"]
    with pytest.raises(SearchError, match=r"seed_points: must be one of auto, all, none, not 'al'; did you mean 'all'"):
        SearchOptions("attn_cnn", seed_points="al")


def test_the_help_says_what_auto_is() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert "--seed-points all|auto|none Published networks that are trained first; auto: " in text


def test_where_the_limits_have_no_room_for_the_whole_network_its_largest_parts_come_first() -> None:
    space = Space.load("pretrained_mobile", shapes=False)
    points = choose_seeds(space.limit(macs=5e6), images(32), 4, "auto", notes := Notes())
    first = points[0]
    assert first.built is not None
    assert first.published is None, "it is no published network"
    assert first.built.cost.macs <= 5e6
    assert first.built.cost.parameters > 3.3e6, "the same layers on smaller pictures"
    assert first.assignment["resolution"] != "whole"
    assert notes.notes[0].startswith("the nearest to efficientnet_lite0 that the limits have room for come first")
    whole = choose_seeds(space, images(32), 4, "auto", Notes())
    assert [point.published for point in whole] == ["efficientnet_lite0"]
    assert choose_seeds(space.limit(macs=5e6), images(32), 4, "none", Notes()) == []
