"""Right answers class by class, and what follows from them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.statistics.proportion import standard_error
from nas.statistics.scores import Gap, Score, other_shares

counts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=2, max_size=6)


def score(pairs: list[tuple[int, int]]) -> Score:
    return Score(tuple(right for right, _ in pairs), tuple(right + wrong for right, wrong in pairs))


def test_a_confusion_matrix_counts_the_right_answers_of_each_class() -> None:
    found = Score.of_confusion([[8, 2, 0], [1, 3, 0], [0, 0, 6]])
    assert found == Score((8, 3, 6), (10, 4, 6))
    assert found.accuracy == 17 / 20
    assert found.balanced == pytest.approx((0.8 + 0.75 + 1) / 3)
    assert found.error == standard_error(17 / 20, 20)
    assert Score.from_dict(found.to_dict()) == found


@given(counts.filter(lambda pairs: sum(map(sum, pairs)) > 0))
def test_accuracies_are_means_of_the_classes(pairs: list[tuple[int, int]]) -> None:
    found = score(pairs)
    shares = [images / found.total for images in found.images]
    by_class = [found.of(place)[0] for place in range(len(pairs))]
    assert found.accuracy == pytest.approx(
        sum(share * (one or 0.0) for share, one in zip(shares, by_class, strict=True))
    )
    there = [one for one in by_class if one is not None]
    assert min(there) - 1e-9 <= found.balanced <= max(there) + 1e-9
    assert found.balanced_error > 0
    record = found.record([str(place) for place in range(len(pairs))])
    assert sum(one["images"] for one in record["classes"]) == record["images"] == found.total


def test_one_class_is_less_sure_than_all_of_them() -> None:
    found = Score((40, 30), (50, 50))
    _, error = found.of(0)
    assert error is not None
    assert found.error < error
    assert found.balanced_error == pytest.approx(math.hypot(error, found.of(1)[1] or 0.0) / 2)


def test_two_standard_errors_are_chance() -> None:
    small = Gap.between(Score((64,), (100,)), Score((235,), (500,)))
    assert not small.by_chance  # 64 and 47 %: the photos that this was seen on
    assert Gap.between(Score((53,), (100,)), Score((235,), (500,))).by_chance
    assert small.error == pytest.approx(math.hypot(standard_error(0.64, 100), standard_error(0.47, 500)))


def test_classes_with_another_share_are_found_and_chance_is_not() -> None:
    assert other_shares([600, 200, 200], [100, 100, 100]) == [0, 1, 2]
    assert other_shares([250, 250, 250, 250], [29, 25, 22, 24]) == []
    assert other_shares([500, 250, 250], [26, 12, 12]) == []
