"""What every output shows of the front of a study: made here once, and only drawn by the terminal, the PNG, the page and the note.

Networks are drawn by the metric that the study chooses by: see `nas.objectives.metric_of`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from nas.analysis.replicates import Summary, summary_text
from nas.front.axes import Axis, linear, logarithmic, metric_axis
from nas.objectives import ACCURACY, BUILT_IN, LATENCY, OBJECTIVES, Objective, metric_of
from nas.pareto import pareto
from nas.statistics.proportion import standard_error
from nas.text.formatting import counted, metric_text, shape, short, value_text, words

if TYPE_CHECKING:
    import pandas as pd

    from nas.analysis.front_tests import FrontTests, Verdict
    from nas.store import StudyRow

Look = Literal["trial", "stopped", "front", "published", "retrained", "tied", "replayed", "claimed"]
WORST_SHOWN: Final = 0.1
"""Beyond the front's worst point, this part of the networks may fall off the picture, so that the front fills it."""
NAMES: Final = 12
"""Where there are more published networks, those of the front and the best are named in the picture."""


@dataclass(frozen=True)
class Network:
    """A network of a search."""

    trial: int
    hash: str
    state: str
    values: Mapping[str, float]
    """Values of each objective that is known, by their names."""
    text: str
    """What is chosen by, with its standard error where it is an accuracy."""
    standard_error: float | None
    """None where it is no accuracy, or nobody knows on how many images it was measured."""
    seconds: float
    """Seconds of training."""
    published: str | None
    assignment: Mapping[str, Any]
    test: Summary | None = None
    """Its test values, where it was retrained."""
    verdict: Verdict | None = None
    spread: float = 0.0
    """Half of its error bar; that of a search has none."""


@dataclass(frozen=True)
class Mark:
    """A test value in the picture: measured here, or claimed by a paper."""

    name: str
    """``trial 7``, or a published network."""
    trial: int | None
    values: Mapping[str, float]
    text: str
    spread: float
    """Standard deviation over the seeds, half of its error bar; 0 for one seed and for a claim."""
    kind: str
    """What it is, in words."""
    published: str | None = None


@dataclass(frozen=True)
class Series:
    """What has one look in the picture, and one line in its legend."""

    look: Look
    label: str
    points: Sequence[Network | Mark]


@dataclass(frozen=True)
class Panel:
    """The picture of what is chosen by against one cost."""

    metric: str
    cost: str
    x: Axis
    y: Axis
    staircase: tuple[tuple[float, float], ...]
    """The best value that each cost buys, as the corners that are shown, the best cost first."""
    names: tuple[tuple[str, float, float], ...]
    """Published networks, each once: name, cost and value."""
    joins: tuple[tuple[float, float, float], ...]
    """What belongs to one published network: cost, least and greatest value."""
    below: int
    """Networks that are not shown because they would squeeze the others."""

    def has(self, point: Network | Mark) -> bool:
        """Whether a point stands in this picture."""
        return self.cost in point.values and self.y.low <= self.of(point) <= self.y.high

    def of(self, point: Network | Mark) -> float:
        """What a point has of the metric, where it stands on its axis."""
        return OBJECTIVES[self.metric].on_axis(point.values[self.metric])

    def ends(self, point: Network | Mark) -> tuple[float, float]:
        """The ends of its error bar."""
        value, row = point.values[self.metric], OBJECTIVES[self.metric]
        return row.on_axis(value - point.spread), row.on_axis(value + point.spread)

    def at(self, point: Network | Mark) -> tuple[float, float]:
        """Where a point stands, from the lower left corner, in parts of the picture."""
        return self.place(point.values[self.cost], self.of(point))

    def place(self, cost: float, value: float) -> tuple[float, float]:
        """The same for a cost and a value of the metric."""
        return self.x.at(OBJECTIVES[self.cost].on_axis(cost)), self.y.at(OBJECTIVES[self.metric].on_axis(value))

    @property
    def note(self) -> str:
        """What is not shown, or nothing."""
        if not self.below:
            return ""
        low = 100 * self.y.low
        bound = f"below {low:.3g} %"
        if self.y.scale == "error":
            bound = f"with an error above {100 - low:.3g} %"
        elif self.y.scale != "percent":
            bound = f"below {self.y.low:.3g}" if OBJECTIVES[self.metric].is_maximized else f"above {self.y.high:.3g}"
        return f"{counted(self.below, 'network')} {bound}, not shown"


@dataclass(frozen=True)
class FrontView:
    """The front of a study, and what stands beside it."""

    title: str
    subtitle: str
    objectives: tuple[str, ...]
    members: tuple[Network, ...]
    """The front, cheapest first."""
    complete: pd.DataFrame
    """Trials of all networks that were trained to the end, each once: what `networks` is made of, for who draws them."""
    halted: pd.DataFrame
    """The same for `stopped`."""
    images: int | None
    """On how many networks were measured."""
    states: Mapping[str, int]
    """How many trials ended so."""
    chance: float
    """Up to this value a network may have learned nothing, as far as it is known."""
    tests: FrontTests | None
    """None where nobody has looked."""

    @property
    def metric(self) -> Objective:
        """What the study chooses by."""
        return metric_of(self.objectives)

    @property
    def costs(self) -> tuple[str, ...]:
        """What the metric is shown against: the other objectives of the study; parameters where it has none."""
        return tuple(name for name in self.objectives if name != self.metric.name) or ("parameters",)

    @property
    def further(self) -> tuple[str, ...]:
        """What the study optimizes, or a member has, that not every trial has."""
        known = {*self.objectives, *(name for one in self.members for name in one.values)}
        return tuple(name for name in OBJECTIVES if name in known and _is_further(name))

    @property
    def best(self) -> Network | None:
        """The best member by the metric, the cheapest of equal ones."""
        metric = self.metric
        known = [member for member in self.members if metric.name in member.values]
        return max(known, key=lambda member: metric.sign * member.values[metric.name], default=None)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """All that were trained to the end, each once."""
        return tuple(_networks(self.complete, self.metric, self.images, self.tests))

    @cached_property
    def stopped(self) -> tuple[Network, ...]:
        """Stopped early, and not trained to the end after all: their values are those of the last epoch they had."""
        return tuple(_networks(self.halted, self.metric, self.images, None))

    @cached_property
    def hashes(self) -> frozenset[str]:
        """Hashes of the members."""
        return frozenset(one.hash for one in self.members)

    @property
    def is_tested(self) -> bool:
        """Whether a member was measured on the test set."""
        return any(member.test is not None for member in self.members)

    @property
    def counts(self) -> str:
        """Such as ``4 of 9 complete networks on the front, the most accurate: trial 7 · 2 stopped early · 1 untrained``."""
        number, complete = len(self.members), counted(len(self.complete), "complete network")
        parts = [f"{number} of {complete} on the front"]
        if self.best is not None:
            word = "the most accurate" if self.metric == ACCURACY else f"the best by {words(self.metric.name)}"
            parts[0] += f", {word}: trial {self.best.trial}"
        stopped, untrained = len(self.halted), self.states.get("untrained", 0)
        parts += [f"{stopped:,} stopped early"] if stopped else []
        return " · ".join([*parts, f"{untrained:,} untrained"] if untrained else parts)

    @cached_property
    def series(self) -> tuple[Series, ...]:
        """All that is drawn, the undermost first; in the order of the legend."""
        found = [
            Series("trial", "trials", self.networks),
            Series("stopped", "stopped early", self.stopped),
            Series("front", "Pareto front", self.members),
            Series("published", "published networks", [one for one in self.networks if one.published is not None]),
            *self._tests(),
        ]
        return tuple(series for series in found if series.points)

    @cached_property
    def panels(self) -> tuple[Panel, ...]:
        """A picture for each cost; none before a network is complete."""
        return tuple(self._panel(cost) for cost in self.costs) if self.members else ()

    def _tests(self) -> list[Series]:
        again, replay = "retrained, on the test set", "replayed, on the test set"
        retrained: list[Mark] = []
        tied: list[Mark] = []
        replayed: list[Mark] = []
        claimed: list[Mark] = []
        for one in self.networks:
            if one.test is not None and one.test.mean is not None:
                name, kind = f"trial {one.trial}", str(one.verdict or again)
                test = Mark(name, one.trial, *_tested(one.values, one.test), kind)
                (retrained if one.verdict is None else tied).append(test)
        published = self.tests.published if self.tests else ()
        # A claim is for the data of its paper, which need not be those of the study.
        data = sorted({point.data for point in published if point.claimed is not None and point.data})
        claim = f"claimed for {', '.join(data)}" if data else "claimed"
        for point in published:
            if point.replayed is not None and point.replayed.mean is not None:
                replayed.append(Mark(point.name, None, *_tested(point.costs, point.replayed), replay, point.name))
            if point.claimed is not None:
                values = {**point.costs, self.metric.name: point.claimed / 100}
                kind = f"claimed for {point.data} by its paper"
                claimed.append(Mark(point.name, None, values, f"{point.claimed:g} %", 0.0, kind, point.name))
        return [
            Series("retrained", again, retrained),
            Series("tied", "retrained, no better than a cheaper one", tied),
            Series("replayed", replay, replayed),
            Series("claimed", claim, claimed),
        ]

    def _panel(self, cost: str) -> Panel:
        metric = self.metric.name
        tests = [one for series in self.series for one in series.points if isinstance(one, Mark) and cost in one.values]
        y = self._axis(tests)
        row = OBJECTIVES[cost]
        trained = [one for one in (*self.networks, *self.stopped) if cost in one.values]
        shown = [one for one in trained if y.low <= one.values[metric] <= y.high]
        costs = [*(one.values[cost] for one in shown), *(one.values[cost] for one in tests)]
        x = (logarithmic if row.scale == "logarithmic" else linear)([row.on_axis(value) for value in costs], row.label)
        known: dict[str, list[tuple[float, float]]] = {}
        named: list[Network | Mark] = [*self._named(), *(test for test in tests if test.published)]
        for point in named:
            if cost in point.values and y.low <= (value := point.values[metric]) <= y.high:
                known.setdefault(str(point.published), []).append((row.on_axis(point.values[cost]), value))
        names = tuple((name, *places[0]) for name, places in list(known.items())[:NAMES])
        joins = tuple(
            (places[0][0], min(high for _, high in places), max(high for _, high in places))
            for places in known.values()
            if len(places) > 1
        )
        stairs = _staircase(self.members, cost, self.metric)
        corners = tuple(corner for corner in stairs if y.low <= corner[1] <= y.high)
        return Panel(metric, cost, x, y, corners, names, joins, len(trained) - len(shown))

    def _axis(self, tests: Sequence[Mark]) -> Axis:
        """The axis of all members, published networks and tests above chance, and of most other networks."""
        metric = self.metric
        name, sign = metric.name, metric.sign

        def above_chance(some: Sequence[Network]) -> list[float]:
            return [one.values[name] for one in some if sign * one.values[name] > self.chance]

        learned, members = above_chance(self.networks), above_chance(self.members)
        if not members:  # nothing has learned: then that is what there is to see
            learned = members = [one.values[name] for one in self.members]
        best = sign * max(sign * one.values[name] for one in (*self.networks, *self.stopped))
        most = sign * float(np.quantile([sign * value for value in learned], WORST_SHOWN, method="higher"))
        points = [one.values[name] for one in tests]
        bars = [one.values[name] + way * one.spread for one in tests if one.spread for way in (-1, 1)]
        shown = [*above_chance(self._named()), most, best, *points]
        return metric_axis(metric, members, shown, bars, tested=bool(tests))

    def _named(self) -> list[Network]:
        """Published networks, those of the front first, then the best."""
        metric = self.metric
        known = [one for one in self.networks if one.published is not None]
        return sorted(known, key=lambda one: (one.hash not in self.hashes, -metric.sign * one.values[metric.name]))


def front_view(study: StudyRow, trials: pd.DataFrame, measured: pd.DataFrame, *, published: bool = True) -> FrontView:
    """The front of a study, from `Store.trials` and `Store.measurements`.

    With `published` also what papers claim, and what replays of their networks measured; only pictures need it.
    """
    from nas.analysis.front_tests import front_tests

    tests = front_tests(study, trials, pareto(trials, study.objectives), measured, published=published)
    return view_of(
        trials,
        study.objectives,
        title=study.name,
        subtitle=subtitle_of(study),
        images=study.validation_images,
        classes=study.task.classes,
        tests=tests,
    )


def view_of(
    trials: pd.DataFrame,
    objectives: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
    images: int | None = None,
    classes: int | None = None,
    tests: FrontTests | None = None,
) -> FrontView:
    """The front of these trials, which were measured on so many `images` of so many `classes`."""
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    metric = metric_of(objectives)
    is_measured = trials[metric.name].notna()
    stopped = trials[(trials["state"] == "stopped_early") & is_measured].drop_duplicates("hash")
    stopped = stopped[~stopped["hash"].isin(complete["hash"])]
    chance = -math.inf
    if metric == ACCURACY:
        guess = 1 / classes if classes else 0.0
        chance = guess + 2 * standard_error(guess, images) if classes and images else guess
    return FrontView(
        title,
        subtitle,
        tuple(objectives),
        tuple(_networks(pareto(trials, objectives), metric, images, tests)),
        complete,
        stopped,
        images,
        Counter(map(str, trials["state"])),
        chance,
        tests,
    )


def subtitle_of(study: StudyRow) -> str:
    """Space, data and budget of a study in one line, for a picture."""
    task, recipe = study.task, study.recipe
    data = f"data {task.dataset}" + ("" if task.input is None else f" {shape(task.input)}")
    return "  ·  ".join((f"space {study.space_name}", data, counted(recipe.epochs, "epoch")))


def cost_text(costs: Mapping[str, Any]) -> str:
    """``4.61k parameters · 530k MACs``, and what was measured or registered, such as ``1.84 ms``."""
    parts = [f"{short(costs['parameters'])} parameters", f"{short(costs['macs'])} MACs"]
    for name in further(costs):
        row = OBJECTIVES[name]
        parts.append(
            value_text(row, costs[name], unit=True) if row.unit else f"{row.heading} {value_text(row, costs[name])}"
        )
    return " · ".join(parts)


def further(values: Mapping[str, Any]) -> list[str]:
    """The values of a trial that not every trial has: what was measured of it, or what registered objectives say."""
    return [name for name in OBJECTIVES if _is_further(name) and name in values and values[name] == values[name]]


def _is_further(name: str) -> bool:
    if OBJECTIVES[name].known == "learned":
        return name not in (ACCURACY.name, "top5")
    return name == LATENCY.name or name not in BUILT_IN


def _networks(
    frame: pd.DataFrame, metric: Objective, images: int | None, tests: FrontTests | None
) -> Iterable[Network]:
    names = [name for name in OBJECTIVES if name in frame]
    for row in frame.to_dict("records"):
        trial, digest, published = int(row["trial"]), str(row["hash"]), row["published"]
        values = {name: row[name] for name in names if isinstance(row[name], Real) and row[name] == row[name]}
        value = values.get(metric.name)
        error = None if value is None else search_error(value, metric, images)
        yield Network(
            trial,
            digest,
            str(row["state"]),
            values,
            metric_text(metric.name, value, error),
            error,
            float(row.get("seconds", "nan")),
            published if isinstance(published, str) else None,  # a missing one is pandas.NA
            row.get("assignment", {}),
            tests.retrained.get(digest) if tests else None,
            tests.verdicts.get(trial) if tests else None,
        )


def search_error(value: float, metric: Objective, images: int | None) -> float | None:
    """Standard error of what a search measured on so many images: an accuracy has a formula, of others only the value is kept."""
    return standard_error(value, images) if images and metric == ACCURACY else None


def _tested(costs: Mapping[str, float], summary: Summary) -> tuple[Mapping[str, float], str, float]:
    """Values, text and error bar of a test value."""
    assert summary.mean is not None
    return {**costs, summary.metric: summary.mean}, summary_text(summary), summary.deviation or 0.0


def _staircase(members: Sequence[Network], cost: str, metric: Objective) -> tuple[tuple[float, float], ...]:
    row = OBJECTIVES[cost]
    sign = -row.sign
    corners: list[tuple[float, float]] = []
    known = [one for one in members if cost in one.values]
    for x, y in sorted((sign * one.values[cost], -metric.sign * one.values[metric.name]) for one in known):
        value = -metric.sign * y
        if not corners or metric.sign * value > metric.sign * corners[-1][1]:
            corners.append((float(row.on_axis(sign * x)), metric.on_axis(value)))
    return tuple(corners)
