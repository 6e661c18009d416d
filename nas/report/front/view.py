"""What a picture of a front shows, and its colours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nas.analysis.front_tests import FrontTests

if TYPE_CHECKING:
    import pandas as pd


# Okabe and Ito's colours, which people with any colour vision can tell apart.
GREY: Final = "#8b929a"
BLUE: Final = "#0072B2"
PALE: Final = "#8fc1e3"
"""Retrained members that do not beat a cheaper one on the test set."""
ORANGE: Final = "#D55E00"
INK: Final = "#1b2733"
FAINT: Final = "#5d6b78"


@dataclass(frozen=True)
class Shown:
    """What a picture of one study shows."""

    complete: pd.DataFrame
    """Each network once."""
    stopped: pd.DataFrame
    """Stopped early: their accuracy is that of the last epoch they had."""
    front: pd.DataFrame
    published: pd.DataFrame
    costs: tuple[str, ...]
    title: str
    subtitle: str
    untrained: int = 0
    """Trials whose accuracy says nothing of their network: counted, and not drawn."""
    tests: FrontTests = field(default_factory=FrontTests)
    """What the test set said; all of it empty where nothing was retrained or replayed."""

    def retrained(self, cost: str, *, tied: bool | None = None) -> list[tuple[int, float, float, float]]:
        """Trial, cost, mean test accuracy (%) and its standard deviation (0 for one seed) of retrained networks.

        `tied`: only those that do not beat a cheaper one on the test set, or only the others.
        """
        found = []
        for row in self.complete.to_dict("records"):
            summary = self.tests.retrained.get(str(row["hash"]))
            wanted = tied in (None, int(row["trial"]) in self.tests.verdicts)
            if wanted and summary is not None and summary.mean is not None:
                found.append(
                    (int(row["trial"]), float(row[cost]), 100 * summary.mean, 100 * (summary.deviation or 0.0))
                )
        return found

    def claimed(self, cost: str) -> list[tuple[str, float, float]]:
        """Name, cost and accuracy (%) of published networks as their papers claim."""
        points = [point for point in self.tests.published if cost in point.costs]
        return [(point.name, point.costs[cost], point.claimed) for point in points if point.claimed is not None]

    @property
    def claim_label(self) -> str:
        """What the hollow marks are: a claim is for the data of its paper, which need not be those of the study."""
        data = sorted({point.data for point in self.tests.published if point.claimed is not None and point.data})
        return f"claimed for {', '.join(data)}" if data else "claimed"

    def replayed(self, cost: str) -> list[tuple[str, float, float, float]]:
        """Name, cost, mean test accuracy (%) and its standard deviation of published networks replayed here."""
        return [
            (point.name, point.costs[cost], 100 * summary.mean, 100 * (summary.deviation or 0.0))
            for point in self.tests.published
            if cost in point.costs and (summary := point.replayed) is not None and summary.mean is not None
        ]

    def named(self, cost: str) -> list[tuple[str, float, float]]:
        """Name, cost and accuracy (%) of every published network, once: in this search, as replayed, or as claimed."""
        rows = self.published.to_dict("records")
        points = [(str(row["published"]), float(row[cost]), 100 * float(row["accuracy"])) for row in rows]
        points += [(name, x, y) for name, x, y, _ in self.replayed(cost)] + self.claimed(cost)
        seen: dict[str, tuple[str, float, float]] = {}
        for point in points:
            seen.setdefault(point[0], point)
        return list(seen.values())

    def extent(self, cost: str) -> tuple[list[float], list[float]]:
        """Costs and accuracies (%) of all that stands in the picture beside trials."""
        tests = [(x, y, d) for _, x, y, d in (*self.retrained(cost), *self.replayed(cost))]
        points = [(x, y + sign * d) for x, y, d in tests for sign in (-1, 1)] + [
            (x, y) for _, x, y in self.claimed(cost)
        ]
        return [x for x, _ in points], [y for _, y in points]

    @property
    def has_tests(self) -> bool:
        """Whether anything in the picture was measured on, or claimed for, a test set."""
        return bool(self.retrained("parameters") or self.tests.published)

    @property
    def accuracy_label(self) -> str:
        """What the upright axis shows."""
        return "accuracy (%): ● validation  ◆ test" if self.has_tests else "validation accuracy (%)"

    def staircase(self, cost: str) -> tuple[list[float], list[float]]:
        """The best accuracy (%) that each cost buys, as the upper left corners of a staircase."""
        best, xs, ys = 0.0, [], []
        ordered = self.front.sort_values([cost, "accuracy"], ascending=[True, False])
        for x, y in zip(ordered[cost], ordered["accuracy"] * 100, strict=True):
            if y > best:
                best = y
                xs.append(float(x))
                ys.append(float(y))
        return xs, ys
