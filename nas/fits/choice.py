"""Which network to take from a study that is done: the best one by its metric inside what the user has room for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nas.errors import SearchError, StorageError
from nas.fits import caption_of
from nas.network.lookup import find_network
from nas.network.model_selection import Retrained, of_study, references_of_study
from nas.objectives import ACCURACY, OBJECTIVES, metric_of
from nas.pareto import pareto
from nas.statistics.proportion import standard_error
from nas.store import Store

if TYPE_CHECKING:
    from nas.device.timing import Timing
    from nas.export.int8 import Quantized
    from nas.space.grammar import Bounds
    from nas.store import StudyRow


@dataclass(frozen=True)
class Candidate:
    """A network that a study offers."""

    name: str
    """``trial 23``, with the name of a published network; or the name of a reference."""
    word: str
    """What other commands take for it: ``STUDY:23``, ``STUDY:resnet8``."""
    parameters: int
    macs: int
    value: float
    """What it is chosen by, on validation images: the mean of its retrainings, else what the search measured."""
    error: float | None
    """Standard error of `value`; None where nobody knows it."""
    retrained: Retrained | None
    """None where it was only searched: then its value is that of a short training."""
    metric: str = ACCURACY.name
    """The metric that `value` is of: the first learned objective of the study."""
    searched: float | None = None
    """The value in the search; None for a reference."""
    caption: str = ""
    """What a reference is; empty for other networks."""
    milliseconds: float | None = None
    """For one image, where it was timed."""
    int8: Quantized | None = None
    """What its weights are worth in 8-bit integers on validation images, where that was asked for."""

    @property
    def accuracy(self) -> float | None:
        """`value`, where that is an accuracy."""
        return self.value if self.metric == ACCURACY.name else None

    @property
    def worth(self) -> float:
        """What it is chosen by, the larger the better: in 8-bit integers where it was measured so."""
        return self.sign * (self.value if self.int8 is None else self.int8.after)

    @property
    def sign(self) -> int:
        """1 where more of the metric is better, else -1."""
        return OBJECTIVES[self.metric].sign

    @property
    def worth_error(self) -> float | None:
        """Its standard error."""
        return self.error if self.int8 is None else self.int8.error

    @property
    def is_reference(self) -> bool:
        """Whether no search found it."""
        return bool(self.caption)


@dataclass(frozen=True)
class Limits:
    """What the user has room for; None: no limit."""

    parameters: float | None = None
    macs: float | None = None
    milliseconds: float | None = None

    @classmethod
    def of(cls, constraints: Mapping[str, Bounds]) -> Limits:
        """Those that a study was searched within."""
        bounds = {name: bound.max for name, bound in constraints.items()}
        return cls(bounds.get("parameters"), bounds.get("macs"))

    def hold(self, one: Candidate) -> bool:
        """Whether a network keeps those that need no measuring."""
        return (self.parameters is None or one.parameters <= self.parameters) and (
            self.macs is None or one.macs <= self.macs
        )


@dataclass(frozen=True)
class Choice:
    """A network, and what else one might take."""

    chosen: Candidate
    runner_up: Candidate | None
    """The next best one inside the limits."""
    smaller: Candidate | None
    """The smallest one that is within a standard error of the chosen one; None where that is the smallest itself."""
    promising: Candidate | None
    """One that did better in the search than all that were retrained, and was not retrained itself."""


def candidates(store: Store, study: StudyRow) -> list[Candidate]:
    """The front of a study, its retrained networks and its references, the best first; retrained ones before others."""
    trials = store.trials(study.name, assignments=False)
    measured = store.measurements()
    retrained = {one.hash: one for one in of_study(measured, study.name) if one.mean is not None}
    complete = trials[trials["state"] == "complete"].drop_duplicates("hash")
    front = set(pareto(trials, study.objectives)["hash"])
    images, metric = study.validation_images, metric_of(study.objectives).name
    found = []
    for row in complete[complete["hash"].isin(front | set(retrained))].to_dict("records"):
        number, way = int(row["trial"]), retrained.get(str(row["hash"]))
        searched = float(row[metric])
        error = standard_error(searched, images) if images and metric == ACCURACY.name else None
        found.append(
            Candidate(
                f"trial {number}" + (f", {row['published']}" if isinstance(row["published"], str) else ""),
                f"{study.name}:{number}",
                int(row["parameters"]),
                int(row["macs"]),
                searched if way is None or way.mean is None else way.mean,
                error if way is None else way.error,
                way,
                metric,
                searched,
            )
        )
    for name, way in references_of_study(measured, study.name).items():
        if way.mean is not None:
            caption = caption_of(name)
            found.append(
                Candidate(
                    name,
                    f"{study.name}:{name}",
                    way.parameters,
                    way.macs,
                    way.mean,
                    way.error,
                    way,
                    metric,
                    caption=caption,
                )
            )
    return sorted(found, key=lambda one: (one.retrained is None, -one.worth, one.parameters))


def choose(
    offered: Sequence[Candidate],
    limits: Limits,
    timed: Callable[[Candidate], float] | None = None,
    quantized: Callable[[Candidate], Quantized | None] | None = None,
) -> Choice:
    """The best candidate inside the limits. `timed` gives the milliseconds of one, for a limit on them. `quantized`
    gives what one is worth in 8-bit integers, to choose by that among all that were retrained; None leaves one out.

    Where some were retrained the choice is among these, whose values are of long trainings. Candidates are timed only
    until it is settled. Raises SearchError that names the nearest when none is inside.
    """
    inside = [one for one in offered if limits.hold(one)]
    if not inside:
        raise SearchError(_too_tight(offered, limits))
    trained = [one for one in inside if one.retrained is not None]
    ranked = _fast_enough(trained, limits, timed) or _fast_enough(
        [one for one in inside if one.retrained is None], limits, timed
    )
    if not ranked:
        assert timed is not None
        fastest = min(timed(one) for one in inside)
        raise SearchError(
            f"max_latency: none of the {len(inside)} networks takes at most {limits.milliseconds:g} ms; the fastest takes "
            f"{fastest:.3g} ms"
        )
    if quantized is not None:
        ranked = _in_int8(ranked, quantized)
    chosen = ranked[0]
    return Choice(chosen, next(iter(ranked[1:]), None), _smaller(ranked), _promising(chosen, inside))


def timer(store: Store, storage: str, timing: Timing) -> Callable[[Candidate], float]:
    """Measures candidates as a search does, each once, and keeps what it measures in the database at `storage`."""
    from nas.network.latency import find_device
    from nas.network.probe import expected, place_of, take
    from nas.train import device_name

    probe, where = timing.probe(), find_device(timing.place)
    known: dict[str, float] = {}

    def timed(candidate: Candidate) -> float:
        if candidate.word not in known:
            network = find_network(candidate.word, storage=storage)
            asked = network.architecture, network.input, network.classes, where
            wanted = expected(probe, *asked, device_name(place_of(probe, where)))
            stored = next((one for one in store.readings(wanted.hash, wanted.name) if one.is_like(wanted)), None)
            if stored is None:
                stored = take(probe, *asked)
                store.add_reading(stored)
            known[candidate.word] = stored.value
        return known[candidate.word]

    return timed


def _fast_enough(
    ranked: Sequence[Candidate], limits: Limits, timed: Callable[[Candidate], float] | None
) -> list[Candidate]:
    if limits.milliseconds is None or timed is None:
        return list(ranked)
    found = []
    for one in ranked:
        milliseconds = timed(one)
        if milliseconds <= limits.milliseconds:
            found.append(replace(one, milliseconds=milliseconds))
    return found


def _in_int8(ranked: Sequence[Candidate], quantized: Callable[[Candidate], Quantized | None]) -> list[Candidate]:
    """Those with trained weights, the best in 8-bit integers first."""
    trained = [one for one in ranked if one.retrained is not None]
    if not trained:
        raise SearchError(
            "int8: no network inside the limits is retrained, and weights are quantized: nas retrain first"
        )
    found = [replace(one, int8=worth) for one in trained if (worth := quantized(one)) is not None]
    if not found:
        raise SearchError(f"int8: none of the {len(trained)} networks inside the limits could be quantized")
    return sorted(found, key=lambda one: (-one.worth, one.parameters))


def _smaller(ranked: Sequence[Candidate]) -> Candidate | None:
    chosen = ranked[0]
    least = chosen.worth - (chosen.worth_error or 0.0)
    smallest = min((one for one in ranked if one.worth >= least), key=lambda one: (one.parameters, one.macs))
    return smallest if smallest.parameters < chosen.parameters else None


def _promising(chosen: Candidate, inside: Sequence[Candidate]) -> Candidate | None:
    others = [one for one in inside if one.retrained is None]
    if chosen.retrained is None or not others:
        return None
    best = max(others, key=lambda one: one.worth)
    bar = max(
        (one.sign * one.searched for one in inside if one.retrained and one.searched is not None), default=-math.inf
    )
    return best if best.worth > bar else None


def _too_tight(offered: Sequence[Candidate], limits: Limits) -> str:
    if not offered:
        raise StorageError("the study has no complete trial yet")
    parts = [
        f"{name}: the smallest network has {min(getattr(one, field) for one in offered):,}, not at most {limit:,.0f}"
        for name, field, limit in (
            ("max_parameters", "parameters", limits.parameters),
            ("max_macs", "macs", limits.macs),
        )
        if limit is not None and min(getattr(one, field) for one in offered) > limit
    ]
    return "; ".join(parts) or "no network keeps both max_parameters and max_macs"


def parse_milliseconds(text: str | None) -> float | None:
    """Milliseconds of ``5ms``, ``0.5s`` or ``5``. Raises SearchError."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|us|µs)?", text.strip(), re.ASCII)
    milliseconds = float(match[1]) * {"s": 1e3, "us": 1e-3, "µs": 1e-3}.get(match[2], 1.0) if match else 0.0
    if not milliseconds > 0:
        raise SearchError(f"max_latency: must be like 5ms or 0.5s, not '{text}'")
    return milliseconds
