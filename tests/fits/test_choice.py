"""Which network is taken: retrained before searched, inside every limit, timed no longer than it takes."""

from __future__ import annotations

import pytest

from nas.errors import SearchError, StorageError
from nas.export.int8 import Quantized
from nas.fits.choice import Candidate, Limits, choose, parse_milliseconds
from nas.network.model_selection import Retrained


def _retrained(accuracy: float) -> Retrained:
    return Retrained(1, "", 1, 1, {"scores": {}, "seed": 0}, "accuracy", (accuracy,), (accuracy,))


def _candidate(
    name: str, accuracy: float, parameters: int, *, retrained: bool = True, error: float = 0.0, searched: float = 0.5
) -> Candidate:
    way = _retrained(accuracy) if retrained else None
    return Candidate(name, f"s:{name}", parameters, parameters * 100, accuracy, error, way, searched=searched)


LARGE, MIDDLE, SMALL = _candidate("a", 0.9, 900), _candidate("b", 0.8, 400), _candidate("c", 0.7, 100)


def test_the_most_accurate_inside_the_limits_is_chosen_with_its_runner_up() -> None:
    free, tight = choose([LARGE, MIDDLE, SMALL], Limits()), choose([LARGE, MIDDLE, SMALL], Limits(parameters=500))
    assert (free.chosen, free.runner_up) == (LARGE, MIDDLE)
    assert (tight.chosen, tight.runner_up) == (MIDDLE, SMALL)
    assert choose([LARGE, SMALL], Limits(macs=10_000)).chosen == SMALL


def test_a_retrained_network_comes_before_one_that_was_only_searched() -> None:
    searched = _candidate("d", 0.95, 50, retrained=False, searched=0.95)
    found = choose([LARGE, searched], Limits())
    assert found.chosen == LARGE
    assert found.promising == searched, "more accurate in the search than all that were retrained"
    assert choose([searched], Limits()).chosen == searched


def test_the_smallest_within_a_standard_error_is_named() -> None:
    close = _candidate("e", 0.89, 10)
    found = choose([_candidate("a", 0.9, 900, error=0.02), close, SMALL], Limits())
    assert found.smaller == close
    assert choose([LARGE, SMALL], Limits()).smaller is None


def test_where_less_is_better_the_least_is_chosen() -> None:
    way = Retrained(1, "", 1, 1, {"scores": {}, "seed": 0}, "log_loss", (0.4,), (0.4,))
    first, second, small = (
        Candidate(name, f"s:{name}", parameters, 1, value, 0.05, way, "log_loss", searched=value)
        for name, value, parameters in (("a", 0.5, 100), ("b", 0.4, 90), ("c", 0.44, 10))
    )
    found = choose(sorted([first, second, small], key=lambda one: -one.worth), Limits())
    assert (found.chosen, found.runner_up, found.smaller) == (second, small, small)
    assert (second.accuracy, LARGE.accuracy) == (None, 0.9)
    searched = Candidate("d", "s:d", 5, 1, 0.1, None, None, "log_loss", searched=0.1)
    assert choose([second, searched], Limits()).promising == searched


def test_a_limit_on_latency_is_measured() -> None:
    times = {"a": 9.0, "b": 4.0, "c": 1.0}
    found = choose([LARGE, MIDDLE, SMALL], Limits(milliseconds=5), lambda one: times[one.name])
    assert (found.chosen.name, found.chosen.milliseconds) == ("b", 4.0)
    with pytest.raises(SearchError, match=r"none of the 3 networks takes at most 0\.5 ms; the fastest takes 1 ms"):
        choose([LARGE, MIDDLE, SMALL], Limits(milliseconds=0.5), lambda one: times[one.name])


def test_limits_that_nothing_keeps_say_what_the_smallest_needs() -> None:
    with pytest.raises(SearchError, match="max_parameters: the smallest network has 100, not at most 50"):
        choose([LARGE, SMALL], Limits(parameters=50))
    with pytest.raises(StorageError, match="no complete trial"):
        choose([], Limits(parameters=50))


@pytest.mark.parametrize(("text", "wanted"), [("5ms", 5.0), ("0.5s", 500.0), ("250us", 0.25), ("7", 7.0), (None, None)])
def test_durations_of_a_network_are_read(text: str | None, wanted: float | None) -> None:
    assert parse_milliseconds(text) == wanted


@pytest.mark.parametrize("text", ["", "0ms", "-1ms", "5 hours", "١ms", "nan"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(SearchError, match="max_latency: must be like 5ms"):
        parse_milliseconds(text)


def test_int8_accuracy_chooses_among_retrained_networks_and_its_error_decides_who_is_as_good() -> None:
    worth = {
        "a": Quantized("accuracy", 0.9, 0.6, 100, 256, 9, 3, "validation"),
        "b": Quantized("accuracy", 0.8, 0.78, 100, 256, 9, 3, "validation"),
        "c": None,
        "d": Quantized("accuracy", 0.77, 0.76, 100, 256, 9, 3, "validation"),
    }
    near, searched = _candidate("d", 0.77, 50), _candidate("e", 0.99, 10, retrained=False)
    found = choose([LARGE, MIDDLE, SMALL, near, searched], Limits(), None, lambda one: worth[one.name])
    assert (found.chosen.name, found.chosen.worth, found.chosen.int8) == ("b", 0.78, worth["b"])
    assert found.runner_up is not None
    assert found.runner_up.name == "d", "what cannot be quantized is left out"
    assert found.smaller == found.runner_up, "within the standard error of the accuracy in 8-bit integers"
    with pytest.raises(SearchError, match="no network inside the limits is retrained"):
        choose([searched], Limits(), None, lambda one: worth["a"])
