"""Test values beside a search: its front retrained, and published networks as claimed and as replayed here.

A search measures on validation images; these were measured on test images, once for each seed. Two members of a front are
*tied* when Welch's two-sided t-test over their seeds does not tell their test accuracies apart (p at least 0.05): then
the dearer one has not shown that it is worth its cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nas.analysis.replicates import Summary, differ, summaries
from nas.errors import NasError
from nas.objectives import ACCURACY, OBJECTIVES, metric_of
from nas.space.published import PublishedConfig, published_configs
from nas.space.space import Space

if TYPE_CHECKING:
    import pandas as pd

    from nas.store import StudyRow


@dataclass(frozen=True)
class Verdict:
    """How a member of a front compares with a cheaper one on the test set."""

    relation: Literal["tied", "below"]
    """Not told apart, or significantly worse."""
    trial: int
    """Number of the cheaper trial."""

    def __str__(self) -> str:
        return f"{self.relation} {'with ' if self.relation == 'tied' else ''}{self.trial}"


@dataclass(frozen=True)
class PublishedPoint:
    """A published network, built for the images of a study."""

    name: str
    costs: Mapping[str, float]
    """Those that are known without measuring."""
    claimed: float | None
    """Test accuracy (%) that the paper prints."""
    replayed: Summary | None
    data: str = ""
    """That the claim is for."""


@dataclass(frozen=True)
class FrontTests:
    """What the test set said about a front and about published networks."""

    retrained: Mapping[str, Summary] = field(default_factory=dict)
    """Retrained networks by their hash."""
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    """Verdicts by the number of the trial."""
    published: tuple[PublishedPoint, ...] = ()

    def record(self, trial: int, digest: str) -> dict[str, Any] | None:
        """The test of one member of the front as plain data; None when it was not retrained."""
        summary = self.retrained.get(digest)
        if summary is None or summary.mean is None:
            return None
        verdict = self.verdicts.get(trial)
        return {
            summary.metric: summary.mean,
            "std": summary.deviation,
            "seeds": len(summary.values),
            "epochs": summary.epochs,
            "tied_with": verdict.trial if verdict and verdict.relation == "tied" else None,
            "below": verdict.trial if verdict and verdict.relation == "below" else None,
        }


def front_tests(
    study: StudyRow, trials: pd.DataFrame, front: pd.DataFrame, measured: pd.DataFrame, *, published: bool = False
) -> FrontTests:
    """What `measured` (from `Store.measurements`) says about the front of a study; with `published` also about published
    networks that the study has met, or that were replayed on its data.
    """
    ours = measured[(measured["kind"] == "retrain") & (measured["study"] == study.name)]
    retrained = {summary.hash: summary for summary in summaries(ours) if summary.values}  # the latest way wins
    members = [
        (int(trial), retrained[digest])
        for trial, digest in zip(front["trial"], front["hash"], strict=True)
        if digest in retrained
    ]
    points = _published(study, trials, measured) if published else ()
    return FrontTests(retrained, verdicts(members), points)


def verdicts(members: Sequence[tuple[int, Summary]]) -> dict[int, Verdict]:
    """For each retrained member, cheapest first, the cheaper one that it does not beat on the test set, if there is one.

    Only members that were retrained in the same way are compared.
    """
    found: dict[int, Verdict] = {}
    for place, (trial, summary) in enumerate(members):
        for other, cheaper in members[:place]:
            ours, theirs = ((one.epochs, one.fraction, one.metric) for one in (summary, cheaper))
            if ours != theirs:
                continue
            different = differ(summary.values, cheaper.values)
            if different is False:
                found.setdefault(trial, Verdict("tied", other))
            elif different and _worth(summary) < _worth(cheaper):
                found[trial] = Verdict("below", other)
                break
    return found


def _worth(summary: Summary) -> float:
    """The mean of the test values, the larger the better."""
    return OBJECTIVES[summary.metric].sign * (summary.mean or 0.0)


def _published(study: StudyRow, trials: pd.DataFrame, measured: pd.DataFrame) -> tuple[PublishedPoint, ...]:
    data, input, classes = study.task.dataset, study.task.input, study.task.classes
    if input is None or classes is None or metric_of(study.objectives) != ACCURACY:
        return ()  # what papers claim is accuracy
    replays = measured[(measured["kind"] == "replay") & measured["published"].notna()]
    here = [summary for summary in summaries(replays) if summary.data == data and summary.values]
    replayed = {str(summary.published): summary for summary in here}
    met = set(trials["published"].dropna())
    if not met and not replayed:
        return ()
    points = []
    for config in published_configs():
        if config.name in replayed or (config.name in met and config.data == data):
            costs = _costs(config, input, classes)
            if costs is not None:
                claim = next((claim.value for claim in config.claims if claim.metric == "accuracy"), None)
                points.append(PublishedPoint(config.name, costs, claim, replayed.get(config.name), config.data))
    return tuple(points)


def _costs(config: PublishedConfig, input: tuple[int, ...], classes: int) -> dict[str, float] | None:
    try:
        space = Space.load(config.space)
        price = space.resolve(space.plan(config.assignment), input, classes).cost
    except NasError:
        return None  # it cannot take images of this size, so it has no place in the picture
    return {"parameters": price.parameters, "macs": price.macs, "activation_bytes": price.activation_bytes}
