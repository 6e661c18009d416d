"""What a cost that has to be measured will be, such as a latency: a surrogate over the features of networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from nas.sampler.surrogate import FIT_AT_MOST, Evidence, Posterior, Weights, inducing, learn

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FIRST_STEPS: Final = 30
STEPS: Final = 12
"""Steps of the optimizer that learns weights, the first time and when it goes on from what was learned before."""


@dataclass
class Learner:
    """Weights of one surrogate, learned anew when there is a twentieth more to learn from."""

    weights: Weights | None = None
    _count: int = 0
    _age: int = 0

    def learn(self, seen: Evidence, group: Numbers, age: int) -> Weights:
        """See `nas.sampler.surrogate.learn`; `age` changes when features are scaled anew."""
        if self.weights is None or self._age != age or len(seen) >= self._count + max(1, self._count // 20):
            kept = seen[inducing(seen.y, FIT_AT_MOST)] if len(seen) > FIT_AT_MOST else seen
            start = self.weights if self._age == age else None
            self.weights = learn(kept, group, start=start, steps=FIRST_STEPS if start is None else STEPS)
            self._count, self._age = len(seen), age
        return self.weights


@dataclass(frozen=True)
class Expected:
    """What is expected of a cost, on whatever scale it was seen; of one that is above 0 the logarithm is learned."""

    posterior: Posterior
    mean: float
    deviation: float
    logarithmic: bool

    def __call__(self, x: Array, deviations: float = 0.0) -> Array:
        """The median for networks `x` (m, columns), or the quantile that lies so many standard deviations from it."""
        middle, variance = self.posterior(x)
        far = deviations * np.sqrt(variance + self.posterior.noise)
        told = (middle + far) * self.deviation + self.mean
        found: Array = np.exp(told) if self.logarithmic else told
        return found


class CostModel:
    """Learns one cost. It varies smoothly with the features: a measurement that is off is noise."""

    def __init__(self) -> None:
        self._learner = Learner()

    def fit(self, x: Array, group: Numbers, seen: Array, age: int) -> Expected:
        """What follows from the values `seen` (n) of networks `x` (n, columns); `age` changes when `x` is scaled anew."""
        logarithmic = bool((seen > 0).all())
        values = np.log(seen) if logarithmic else seen
        mean, deviation = float(values.mean()), float(values.std()) or 1.0
        evidence = Evidence.exact(x, (values - mean) / deviation)
        posterior = Posterior(self._learner.learn(evidence, group, age), evidence, group)
        return Expected(posterior, mean, deviation, logarithmic)
