"""Foresight: whether a network would surely break a limit on what has to be measured, such as a latency, before it is measured.

No unit and no device is assumed: what is learned is one number a network, on a logarithmic scale where all are above 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from nas.architecture.architecture import Architecture
from nas.architecture.cost import Built, facts
from nas.sampler.cost_model import CostModel, Expected
from nas.sampler.encoding import Encoding
from nas.sampler.features import Features, describe
from nas.space.grammar import Bounds
from nas.text.formatting import counted

LEARNED: Final = 8
"""Networks that are measured in any case, before anything is foreseen."""
SURE: Final = 3.0
"""Standard deviations by which what is expected must miss the limit. Measurements have outliers: of NAS-Bench-201's latencies 86 %
lie within two, and with two 2 % of the networks inside a limit were left out."""
CHECKED: Final = 10
"""One in so many networks that would surely break a limit is measured all the same: a model that is wrong is found out."""


@dataclass
class _Learned:
    """Networks with what was measured of them under one name."""

    values: dict[str, float] = field(default_factory=dict)
    features: dict[str, Features] = field(default_factory=dict)
    model: CostModel = field(default_factory=CostModel)
    age: int = 0
    encoding: Encoding | None = None
    expected: Expected | None = None
    """None when there is something new to learn from."""

    def add(self, digest: str, features: Features, value: float) -> None:
        """Takes a measurement; the columns are chosen anew when there are twice as many."""
        self.values[digest], self.features[digest] = value, features
        self.expected = None
        if self.encoding is None or len(self.values) >= 2 * self.age:
            self.age, self.encoding = len(self.values), Encoding.of(list(self.features.values()))

    def at(self, features: Features, deviations: float) -> float:
        """What is expected of a network, so many standard deviations off."""
        assert self.encoding is not None
        if self.expected is None:
            x = self.encoding(list(self.features.values()))
            seen = np.array(list(self.values.values()))
            self.expected = self.model.fit(x, self.encoding.groups, seen, self.age)
        return float(self.expected(self.encoding([features]), deviations)[0])


class Foresight:
    """Learns from every measurement, and foresees which networks would surely break one of `limits`, by names of objectives."""

    def __init__(self, limits: Mapping[str, Bounds]) -> None:
        self._limits = dict(limits)
        self._learned = {name: _Learned() for name in limits}
        self.measured = 0
        self.spared = 0
        """Networks that were not measured, because they would surely break a limit."""
        self._foreseen = 0

    def recall(
        self, networks: Iterable[tuple[Architecture, Mapping[str, float]]], input: tuple[int, ...], classes: int
    ) -> None:
        """Takes what earlier runs have measured."""
        for architecture, values in networks:
            self.learn(Built(architecture, input, classes, facts(architecture, input, classes)), values)

    def learn(self, built: Built, values: Mapping[str, float]) -> None:
        """Takes what was measured of a network, by name."""
        known = {name: value for name, value in values.items() if name in self._learned}
        if not known:
            return
        self.measured += 1
        features = _features(built)
        for name, value in known.items():
            self._learned[name].add(built.architecture.hash, features, value)

    def expects(self, name: str, built: Built) -> tuple[float, float, float] | None:
        """What is expected of a network, and what it is surely above and below; None while too little is known."""
        learned = self._learned[name]
        if len(learned.values) < LEARNED:
            return None
        features = _features(built)
        middle, low, high = (learned.at(features, deviations) for deviations in (0.0, -SURE, SURE))
        return middle, low, high

    def breaks(self, built: Built) -> str | None:
        """Why a network is not worth measuring, in words; None when it may keep the limits, or is to check what is foreseen."""
        for name, bounds in self._limits.items():
            expected = self.expects(name, built)
            if expected is None:
                continue
            middle, low, high = expected
            if (bounds.max is not None and low > bounds.max) or (bounds.min is not None and high < bounds.min):
                self._foreseen += 1
                if self._foreseen % CHECKED == 0:
                    return None
                self.spared += 1
                return f"{name} would be {middle:.4g}, {low:.4g} to {high:.4g}"
        return None

    def summary(self) -> str:
        """What came of it, in one line."""
        return (
            f"{counted(self.measured, 'network')} measured, {self.spared} left out unmeasured because they would surely break a "
            f"limit on {' or '.join(self._limits)}"
        )


def _features(built: Built) -> Features:
    return Features.of(describe(built.architecture, built.facts, built.cost).items())
