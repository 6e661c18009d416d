"""What every output shows of the front of a study: made here once, and only drawn by the terminal, the PNG, the page and the note.

Accuracies and their errors are in [0, 1].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from nas.analysis.replicates import Summary, accuracy_text
from nas.errors import NasError
from nas.front.axes import Axis, accuracy_axis, linear, logarithmic
from nas.objectives import ACCURACY, BUILT_IN, LATENCY, OBJECTIVES, learned
from nas.pareto import pareto
from nas.statistics.proportion import standard_error, with_error
from nas.text.formatting import counted, shape, short, value_text

if TYPE_CHECKING:
    import pandas as pd

    from nas.analysis.front_tests import FrontTests, Verdict
    from nas.store import StudyRow

Look = Literal["trial", "stopped", "front", "published", "retrained", "tied", "replayed", "claimed"]
WORST_SHOWN: Final = 0.1
"""Below the front's lowest point, this part of the networks may fall off the picture, so that the front fills it."""
NAMES: Final = 12
"""Where there are more published networks, those of the front and the most accurate are named in the picture."""


@dataclass(frozen=True)
class Network:
    """A network of a search."""

    trial: int
    hash: str
    state: str
    values: Mapping[str, float]
    """Values of accuracy and each other objective that is known, by their names."""
    text: str
    """The accuracy with its standard error; empty in a task that has none."""
    standard_error: float | None
    """None where there is no accuracy, or nobody knows on how many images it was measured."""
    seconds: float
    """Seconds of training."""
    published: str | None
    assignment: Mapping[str, Any]
    test: Summary | None = None
    """Its test accuracies, where it was retrained."""
    verdict: Verdict | None = None
    spread: float = 0.0
    """Half of its error bar; that of a search has none."""


@dataclass(frozen=True)
class Mark:
    """A test accuracy in the picture: measured here, or claimed by a paper."""

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
    """The picture of accuracy against one cost."""

    cost: str
    x: Axis
    y: Axis
    staircase: tuple[tuple[float, float], ...]
    """The best accuracy that each cost buys, as the corners that are shown, the best cost first."""
    names: tuple[tuple[str, float, float], ...]
    """Published networks, each once: name, cost and accuracy."""
    joins: tuple[tuple[float, float, float], ...]
    """What belongs to one published network: cost, least and greatest accuracy."""
    below: int
    """Networks that are not shown because they would squeeze the others."""

    def has(self, point: Network | Mark) -> bool:
        """Whether a point stands in this picture."""
        return self.cost in point.values and point.values["accuracy"] >= self.y.low

    def at(self, point: Network | Mark) -> tuple[float, float]:
        """Where a point stands, from the lower left corner, in parts of the picture."""
        return self.place(point.values[self.cost], point.values["accuracy"])

    def place(self, cost: float, accuracy: float) -> tuple[float, float]:
        """The same for a cost and an accuracy."""
        return self.x.at(OBJECTIVES[self.cost].on_axis(cost)), self.y.at(accuracy)

    @property
    def note(self) -> str:
        """What is not shown, or nothing."""
        if not self.below:
            return ""
        low = 100 * self.y.low
        bound = f"with an error above {100 - low:.3g} %" if self.y.scale == "error" else f"below {low:.3g} %"
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
    """On how many an accuracy was measured."""
    states: Mapping[str, int]
    """How many trials ended so."""
    chance: float
    """Up to this accuracy a network may have learned nothing."""
    tests: FrontTests | None
    """None where nobody has looked."""

    @property
    def costs(self) -> tuple[str, ...]:
        """What accuracy is shown against: the other objectives of the study; parameters where it has none."""
        return tuple(name for name in self.objectives if name != ACCURACY.name) or ("parameters",)

    @property
    def further(self) -> tuple[str, ...]:
        """What the study optimizes, or a member has, that not every trial has."""
        known = {*self.objectives, *(name for one in self.members for name in one.values)}
        return tuple(name for name in OBJECTIVES if name in known and _is_further(name))

    @property
    def has_accuracy(self) -> bool:
        """Whether there is an accuracy to draw, or no complete trial yet."""
        return self.complete.empty or bool(self.complete[ACCURACY.name].notna().any())

    @property
    def not_drawn(self) -> str:
        """Why there is no picture, or nothing."""
        names = ", ".join(self.objectives)
        if not self.has_accuracy:
            return f"pictures and pages show accuracy, which a study of {names} does not have; `nas study pareto` lists its front"
        if learned(self.objectives) and ACCURACY.name not in self.objectives:
            return (
                f"pictures and pages show accuracy, and this study compares {names}; `nas study pareto` lists its front"
            )
        return ""

    @property
    def best(self) -> Network | None:
        """The most accurate member, the cheapest of equal ones; None in a task that has no accuracy."""
        known = [member for member in self.members if ACCURACY.name in member.values]
        return max(known, key=lambda member: member.values["accuracy"], default=None)

    @cached_property
    def networks(self) -> tuple[Network, ...]:
        """All that were trained to the end, each once."""
        return tuple(_networks(self.complete, self.images, self.tests))

    @cached_property
    def stopped(self) -> tuple[Network, ...]:
        """Stopped early, and not trained to the end after all: their accuracy is that of the last epoch they had."""
        return tuple(_networks(self.halted, self.images, None))

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
            parts[0] += f", the most accurate: trial {self.best.trial}"
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
        """A picture for each cost; none before a network is complete. Raises NasError for a study whose task has no accuracy."""
        if self.not_drawn:
            raise NasError(self.not_drawn)
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
                test = Mark(name, one.trial, *_measured(one.values, one.test), kind)
                (retrained if one.verdict is None else tied).append(test)
        published = self.tests.published if self.tests else ()
        # A claim is for the data of its paper, which need not be those of the study.
        data = sorted({point.data for point in published if point.claimed is not None and point.data})
        claim = f"claimed for {', '.join(data)}" if data else "claimed"
        for point in published:
            if point.replayed is not None and point.replayed.mean is not None:
                replayed.append(Mark(point.name, None, *_measured(point.costs, point.replayed), replay, point.name))
            if point.claimed is not None:
                values = {**point.costs, "accuracy": point.claimed / 100}
                kind = f"claimed for {point.data} by its paper"
                claimed.append(Mark(point.name, None, values, f"{point.claimed:g} %", 0.0, kind, point.name))
        return [
            Series("retrained", again, retrained),
            Series("tied", "retrained, no better than a cheaper one", tied),
            Series("replayed", replay, replayed),
            Series("claimed", claim, claimed),
        ]

    def _panel(self, cost: str) -> Panel:
        tests = [one for series in self.series for one in series.points if isinstance(one, Mark) and cost in one.values]
        y = self._accuracies(tests)
        row = OBJECTIVES[cost]
        trained = [one for one in (*self.networks, *self.stopped) if cost in one.values]
        shown = [one for one in trained if one.values["accuracy"] >= y.low]
        costs = [*(one.values[cost] for one in shown), *(one.values[cost] for one in tests)]
        x = (logarithmic if row.scale == "logarithmic" else linear)([row.on_axis(value) for value in costs], row.label)
        known: dict[str, list[tuple[float, float]]] = {}
        named: list[Network | Mark] = [*self._named(), *(test for test in tests if test.published)]
        for point in named:
            if cost in point.values and (accuracy := point.values["accuracy"]) >= y.low:
                known.setdefault(str(point.published), []).append((row.on_axis(point.values[cost]), accuracy))
        names = tuple((name, *places[0]) for name, places in list(known.items())[:NAMES])
        joins = tuple(
            (places[0][0], min(high for _, high in places), max(high for _, high in places))
            for places in known.values()
            if len(places) > 1
        )
        corners = tuple(corner for corner in _staircase(self.members, cost) if corner[1] >= y.low)
        return Panel(cost, x, y, corners, names, joins, len(trained) - len(shown))

    def _accuracies(self, tests: Sequence[Mark]) -> Axis:
        """The axis of all members, published networks and tests above chance, and of most other networks."""
        learned = [one.values["accuracy"] for one in self.networks if one.values["accuracy"] > self.chance]
        members = [one.values["accuracy"] for one in self.members if one.values["accuracy"] > self.chance]
        if not members:  # nothing has learned: then that is what there is to see
            learned = members = [one.values["accuracy"] for one in self.members]
        named = [one.values["accuracy"] for one in self._named() if one.values["accuracy"] > self.chance]
        most = [float(np.quantile(learned, WORST_SHOWN, method="higher"))]
        highest = [max(one.values["accuracy"] for one in (*self.networks, *self.stopped))]
        points = [one.values["accuracy"] for one in tests]
        bars = [one.values["accuracy"] + sign * one.spread for one in tests if one.spread for sign in (-1, 1)]
        return accuracy_axis(members, [*named, *most, *highest, *points], bars, tested=bool(tests))

    def _named(self) -> list[Network]:
        """Published networks, those of the front first, then the most accurate."""
        known = [one for one in self.networks if one.published is not None]
        return sorted(known, key=lambda one: (one.hash not in self.hashes, -one.values["accuracy"]))


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
    """The front of these trials, whose accuracies were measured on so many `images` of so many `classes`."""
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    worth = [name for name in dict.fromkeys((ACCURACY.name, *learned(objectives))) if name in trials]
    is_measured = trials[worth].notna().any(axis=1)
    stopped = trials[(trials["state"] == "stopped_early") & is_measured].drop_duplicates("hash")
    stopped = stopped[~stopped["hash"].isin(complete["hash"])]
    guess = 1 / classes if classes else 0.0
    chance = guess + 2 * standard_error(guess, images) if classes and images else guess
    return FrontView(
        title,
        subtitle,
        tuple(objectives),
        tuple(_networks(pareto(trials, objectives), images, tests)),
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


def _networks(frame: pd.DataFrame, images: int | None, tests: FrontTests | None) -> Iterable[Network]:
    names = [name for name in OBJECTIVES if name in frame]
    for row in frame.to_dict("records"):
        trial, digest, published = int(row["trial"]), str(row["hash"]), row["published"]
        values = {name: row[name] for name in names if isinstance(row[name], Real) and row[name] == row[name]}
        accuracy = values.get(ACCURACY.name)
        yield Network(
            trial,
            digest,
            str(row["state"]),
            values,
            "" if accuracy is None else with_error(accuracy, images),
            standard_error(accuracy, images) if images and accuracy is not None else None,
            float(row.get("seconds", "nan")),
            published if isinstance(published, str) else None,  # a missing one is pandas.NA
            row.get("assignment", {}),
            tests.retrained.get(digest) if tests else None,
            tests.verdicts.get(trial) if tests else None,
        )


def _measured(costs: Mapping[str, float], summary: Summary) -> tuple[Mapping[str, float], str, float]:
    """Values, text and error bar of a test accuracy."""
    assert summary.mean is not None
    return {**costs, "accuracy": summary.mean}, accuracy_text(summary.record()), summary.deviation or 0.0


def _staircase(members: Sequence[Network], cost: str) -> tuple[tuple[float, float], ...]:
    row = OBJECTIVES[cost]
    sign = -1 if row.is_maximized else 1
    corners: list[tuple[float, float]] = []
    for x, y in sorted((sign * one.values[cost], -one.values["accuracy"]) for one in members if cost in one.values):
        if not corners or -y > corners[-1][1]:
            corners.append((float(row.on_axis(sign * x)), -y))
    return tuple(corners)
