"""Which blocks, hyperparameters and choices go together with trials that end badly.

Each is compared by Fisher's exact test: do networks that have it end badly more often than those that have it not?
So many tests need a correction; `q` is the p-value after that of Benjamini and Hochberg (1995). Properties that always
occur together cannot be told apart and stand together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from nas.analysis.evidence import Evidence, kind_of_reason
from nas.space.choices import options_taken, plain
from nas.states import BAD
from nas.statistics.fisher import fisher_exact
from nas.statistics.proportion import wilson

Kind = Literal["block", "hyperparameter", "choice"]
KINDS: Final[tuple[Kind, ...]] = ("block", "choice", "hyperparameter")
SIGNIFICANT: Final = 0.05


@dataclass(frozen=True)
class Cause:
    """One property of networks and how trials that have it ended."""

    kind: Kind
    name: str
    """``aim``, ``conv dilation 4``, or ``rest.*.down.block = max_pool``."""
    trials: int
    bad: int
    rate: float
    interval: tuple[float, float]
    """Wilson's, 95 %."""
    other_trials: int
    """Trials without it."""
    other_rate: float | None
    p: float
    """Fisher's exact test, two-sided."""
    q: float
    """The same, corrected for the number of tests."""
    states: Mapping[str, int]
    """Number of trials in each of the bad states."""
    reason: str | None
    """The commonest, without its numbers."""
    also: tuple[str, ...] = ()
    """Other properties of exactly the same trials."""


def causes(evidence: Evidence, states: Collection[str] = BAD) -> list[Cause]:
    """Every property that some but not all of the judged trials have, those that explain most first.

    Properties of exactly the same trials are one cause. `states` are those that count as bad. Worse than the others
    comes before better, then the smaller p.
    """
    judged = evidence.judged
    bad = judged["state"].isin(list(states)).to_numpy()
    ended = list(judged["state"])
    reasons = [kind_of_reason(text) if isinstance(text, str) else None for text in judged["reason"]]
    having: dict[tuple[Kind, str], list[int]] = {}
    for row, (digest, assignment) in enumerate(zip(judged["hash"], judged["assignment"], strict=True)):
        for part in evidence.parts.get(digest, {}):
            having.setdefault(("hyperparameter" if " " in part else "block", part), []).append(row)
        for role, options in options_taken(assignment).items():
            for option in options:
                having.setdefault(("choice", f"{role} = {plain(option)}"), []).append(row)
    found = []
    total, total_bad = len(judged), int(bad.sum())
    same: dict[tuple[int, ...], list[tuple[Kind, str]]] = {}
    for property_, rows in having.items():
        if len(rows) < total:
            same.setdefault(tuple(rows), []).append(property_)
    for members, properties in same.items():
        n = len(members)
        (kind, name), *others = sorted(properties, key=lambda item: (KINDS.index(item[0]), item[1]))
        mine = [row for row in members if bad[row]]
        hits = len(mine)
        kinds = Counter(reasons[row] for row in mine if reasons[row])
        found.append(
            Cause(
                kind,
                name,
                n,
                hits,
                hits / n,
                wilson(hits, n),
                total - n,
                (total_bad - hits) / (total - n),
                fisher_exact(hits, n, total_bad, total),
                1.0,
                dict(Counter(ended[row] for row in mine).most_common()),
                kinds.most_common(1)[0][0] if kinds else None,
                tuple(other for _, other in others),
            )
        )
    return _ordered(_corrected(found))


def _corrected(found: list[Cause]) -> list[Cause]:
    from dataclasses import replace

    order = np.argsort([cause.p for cause in found], kind="stable")
    least = 1.0
    values = [1.0] * len(found)
    for place in range(len(order) - 1, -1, -1):
        least = min(least, found[order[place]].p * len(found) / (place + 1))
        values[order[place]] = least
    return [replace(cause, q=value) for cause, value in zip(found, values, strict=True)]


def _ordered(found: list[Cause]) -> list[Cause]:
    def key(cause: Cause) -> tuple[bool, float, float, str]:
        worse = cause.other_rate is None or cause.rate > cause.other_rate
        return (not worse, cause.p, -cause.rate, cause.name)

    return sorted(found, key=key)


def significant(cause: Cause) -> bool:
    """Whether networks with it end badly more often, beyond chance."""
    return cause.q < SIGNIFICANT and (cause.other_rate is None or cause.rate > cause.other_rate)
