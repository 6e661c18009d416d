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
    return Score.of_counts([right for right, _ in pairs], [right + wrong for right, wrong in pairs])


def test_right_answers_of_each_class_give_accuracies() -> None:
    found = Score.of_counts((8, 3, 6), (10, 4, 6))
    assert found.value("accuracy") == 17 / 20
    assert found.error("accuracy") == standard_error(17 / 20, 20)
    assert found.value("balanced_accuracy") == pytest.approx((0.8 + 0.75 + 1) / 3)
    assert found.of(1) == (0.75, standard_error(0.75, 4))
    assert math.isnan(found.value("macro_f1"))
    assert found.error("macro_f1") is None


@given(counts.filter(lambda pairs: sum(map(sum, pairs)) > 0))
def test_accuracies_are_means_of_the_classes(pairs: list[tuple[int, int]]) -> None:
    found = score(pairs)
    shares = [one.images / (found.images or 0) for one in found.classes]
    by_class = [found.of(place)[0] for place in range(len(pairs))]
    assert found.value("accuracy") == pytest.approx(
        sum(share * (one or 0.0) for share, one in zip(shares, by_class, strict=True))
    )
    there = [one for one in by_class if one is not None]
    assert min(there) - 1e-9 <= found.value("balanced_accuracy") <= max(there) + 1e-9
    assert (found.error("balanced_accuracy") or 0) > 0
    record = found.record([str(place) for place in range(len(pairs))])
    assert sum(one["images"] for one in record["classes"]) == record["images"] == found.images
    assert record["accuracy"] == found.value("accuracy")


def test_one_class_is_less_sure_than_all_of_them() -> None:
    found = Score.of_counts((40, 30), (50, 50))
    _, error = found.of(0)
    assert error is not None
    assert (found.error("accuracy") or 0) < error
    assert found.error("balanced_accuracy") == pytest.approx(math.hypot(error, found.of(1)[1] or 0.0) / 2)


def test_two_standard_errors_are_chance() -> None:
    small = Gap.between(Score.of_counts((64,), (100,)), Score.of_counts((235,), (500,)), "accuracy")
    assert not small.by_chance  # 64 and 47 %: the photos that this was seen on
    assert Gap.between(Score.of_counts((53,), (100,)), Score.of_counts((235,), (500,)), "accuracy").by_chance
    assert small.error == pytest.approx(math.hypot(standard_error(0.64, 100), standard_error(0.47, 500)))


def test_classes_with_another_share_are_found_and_chance_is_not() -> None:
    assert other_shares([600, 200, 200], [100, 100, 100]) == [0, 1, 2]
    assert other_shares([250, 250, 250, 250], [29, 25, 22, 24]) == []
    assert other_shares([500, 250, 250], [26, 12, 12]) == []
