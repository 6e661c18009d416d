from __future__ import annotations

import moocore
import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from nas.searches.ranking import Losses, Ranking


def sorted_anew(losses: npt.NDArray[np.float64]) -> list[int]:
    """Rows of `losses` (trials, objectives), less is better, from the best: the rule, for all of them at once."""
    if losses.shape[1] == 1:
        return [int(row) for row in np.argsort(losses[:, 0], kind="stable")]
    fronts = moocore.pareto_rank(losses)
    contributions = np.zeros(len(losses))
    for front in np.unique(fronts):
        rows = np.flatnonzero(fronts == front)
        contributions[rows] = moocore.hv_contributions(losses[rows], ref=np.full(losses.shape[1], 1.1))
    return [int(row) for row in np.lexsort((-contributions, fronts))]


def order_of(known: dict[str, Losses]) -> list[str]:
    networks = list(known)
    return [networks[row] for row in sorted_anew(np.array(list(known.values())))]


def test_fronts_come_one_after_the_other_and_within_one_the_most_hypervolume() -> None:
    # two fronts: a, b, c (b adds next to nothing) and d, e
    ranking = Ranking(2)
    ranking.recall({"a": (0.1, 0.8), "b": (0.79, 0.11), "c": (0.8, 0.1), "d": (0.2, 0.9), "e": (0.9, 0.2)})
    assert ranking.best(1, {"a": 1, "b": 2}, 1) == "a"
    assert ranking.best(3, {"c": 2, "d": 1, "e": 1}, 1) is None
    assert ranking.best(4, {"d": 1, "e": 1}, 1) in {"d", "e"}
    assert ranking.enter("f", (0.05, 0.05)) == 1
    assert ranking.best(1, {"a": 1, "f": 1}, 1) == "f"


@given(st.integers(1, 4), st.data())
def test_the_order_is_that_of_sorting_anew(width: int, data: st.DataObject) -> None:
    # few values, so that there are equal ones and ties; the first half is what an earlier run has left
    value = st.one_of(st.integers(0, 4).map(lambda part: part / 4), st.floats(0, 1))
    entries = data.draw(
        st.lists(st.tuples(st.integers(0, 25), st.tuples(*[value] * width)), min_size=1, max_size=40), "entries"
    )
    half = len(entries) // 2
    known = {str(name): losses for name, losses in entries[:half]}
    ranking = Ranking(width)
    ranking.recall(known)
    for name, losses in entries[half:]:
        known[str(name)] = losses
        order = order_of(known)
        assert ranking.enter(str(name), losses) == 1 + order.index(str(name))
        assert len(ranking) == len(known)
    waiting = data.draw(st.dictionaries(st.integers(0, 25).map(str), st.sampled_from([1, 3])), "waiting")
    most = data.draw(st.integers(0, len(known)), "most")
    first = [name for name in order_of(known)[:most] if waiting.get(name) == 3]
    assert ranking.best(most, waiting, 3) == (first[0] if first else None)


def test_hundreds_in_a_row_stand_where_sorting_anew_puts_them() -> None:
    for width, slope in ((2, -1.0), (2, 0.0), (2, 1.0), (3, 0.0)):
        rng = np.random.default_rng(width)
        points = rng.random((400, width))
        points[:, 1] = 0.5 + slope * (points[:, 0] - 0.5) + 0.1 * points[:, 1]
        ranking, known = Ranking(width), {}
        for number, point in enumerate(points.clip(0, 1).tolist()):
            known[str(number)] = tuple(point)
            rank = ranking.enter(str(number), tuple(point))
            if number % 40 == 39:
                assert rank == 1 + order_of(known).index(str(number))
