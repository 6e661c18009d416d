"""What the error of networks will be: an exact Gaussian process, and a sparse one for thousands of trials.

One Matérn-5/2 kernel over all features; each group of features has a weight, learned by the marginal likelihood with a
log-normal prior (MacKay 1994, automatic relevance determination). Distances under such a kernel are distances between
scaled vectors, so that everything is a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

FIT_AT_MOST: Final = 200
"""Observations from which weights are learned: more change them little."""
EXACT_AT_MOST: Final = 500
"""Above, the posterior rests on this many inducing observations."""
JITTER: Final = 1e-6
WEIGHT_SPREAD: Final = 1.5
"""Standard deviation of the prior of a logarithmic weight."""
NOISE_PRIOR: Final = (np.log(0.02), 1.0)
"""Mean and deviation of the logarithm of the noise's variance, where the observations have variance 1."""
SIGNAL_PRIOR: Final = (0.0, 1.0)


@dataclass(frozen=True)
class Weights:
    """What was learned: logarithms of the noise, of the signal's variance and of each group's weight."""

    noise: float
    signal: float
    groups: Array

    def scaled(self, x: Array, group: npt.NDArray[np.int64]) -> Array:
        """`x` (n, columns), each column by the root of its group's weight."""
        scaled: Array = x * np.exp(0.5 * self.groups)[group]
        return scaled


def learn(
    x: Array,
    group: npt.NDArray[np.int64],
    y: Array,
    extra: Array,
    shift: Array,
    known: Array,
    *,
    start: Weights | None,
    steps: int,
) -> Weights:
    """Weights that make the standardized observations `y` likely; see `Posterior` for `extra`, `shift` and `known`."""
    groups = int(group.max(initial=-1)) + 1
    mean = np.array([NOISE_PRIOR[0], SIGNAL_PRIOR[0], *[-np.log(max(groups, 1))] * groups])
    spread = np.array([NOISE_PRIOR[1], SIGNAL_PRIOR[1], *[WEIGHT_SPREAD] * groups])
    first = mean
    if start is not None and len(start.groups) == groups:
        first = np.array([start.noise, start.signal, *start.groups])
    square = x * x
    outer = np.outer(shift, shift)

    def loss(theta: Array) -> tuple[float, Array]:
        noise, signal = np.exp(theta[0]), np.exp(theta[1])
        scaled = x * np.exp(0.5 * theta[2:])[group]
        kernel, slope = _matern(squared_distances(scaled, scaled))
        matrix = signal * kernel + outer
        matrix[np.diag_indices_from(matrix)] += noise * (1 + extra) + known + JITTER
        try:
            lower = cholesky(matrix, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        alpha = cho_solve((lower, True), y, check_finite=False)
        inverse = cho_solve((lower, True), np.eye(len(y)), check_finite=False)
        likelihood = 0.5 * y @ alpha + np.log(np.diag(lower)).sum()
        pull = 0.5 * (inverse - np.outer(alpha, alpha))
        gradient = np.empty_like(theta)
        gradient[0] = noise * (np.diag(pull) * (1 + extra)).sum()
        gradient[1] = signal * (pull * kernel).sum()
        # d/dw of a squared distance, summed over all pairs: one product instead of one matrix a group
        force = pull * slope * signal
        by_column = 2 * (force.sum(axis=1) @ square - (x * (force @ x)).sum(axis=0))
        gradient[2:] = np.bincount(group, by_column, minlength=groups) * np.exp(theta[2:])
        away = (theta - mean) / spread
        return float(likelihood + 0.5 * away @ away), gradient + away / spread

    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    return Weights(float(found[0]), float(found[1]), found[2:])


class Posterior:
    """The error of any network, after observations `x` (n, columns) and `y` (n).

    `extra` is added to the noise of an observation, in multiples of it; `known` is a variance that is known beforehand, from
    how it was measured. `shift` says how far an observation is from a
    full training: a linear effect of unknown size, by which low fidelities are off, is learned beside the rest.
    """

    def __init__(
        self,
        weights: Weights,
        x: Array,
        group: npt.NDArray[np.int64],
        y: Array,
        extra: Array,
        shift: Array,
        known: Array,
    ) -> None:
        self._weights, self._group = weights, group
        self._signal = np.exp(weights.signal)
        scaled = weights.scaled(x, group)
        noise = np.exp(weights.noise) * (1 + extra) + known + JITTER
        if len(x) <= EXACT_AT_MOST:
            self._base, self._shift = scaled, shift
            matrix = self._kernel(scaled, scaled) + np.outer(shift, shift)
            matrix[np.diag_indices_from(matrix)] += noise
            self._lower = cholesky(matrix, lower=True, check_finite=False)
            self._alpha = cho_solve((self._lower, True), y, check_finite=False)
            self._inner: Array | None = None
            return
        # Deterministic training conditional (Quiñonero-Candela and Rasmussen 2005, section 5)
        keep = inducing(y, EXACT_AT_MOST)
        self._base, self._shift = scaled[keep], shift[keep]
        inner = self._kernel(self._base, self._base) + np.outer(self._shift, self._shift)
        inner[np.diag_indices_from(inner)] += 1e-4 * self._signal
        self._lower = cholesky(inner, lower=True, check_finite=False)
        cross = self._kernel(self._base, scaled) + np.outer(self._shift, shift)
        half = solve_triangular(self._lower, cross, lower=True, check_finite=False) / np.sqrt(noise)
        self._inner = cholesky(np.eye(len(keep)) + half @ half.T, lower=True, check_finite=False)
        self._alpha = cho_solve((self._inner, True), half @ (y / np.sqrt(noise)), check_finite=False)

    @property
    def noise(self) -> float:
        """Variance of one observation of full fidelity."""
        return float(np.exp(self._weights.noise))

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance, without noise, of networks `x` (m, columns)."""
        cross, half = self._halves(x)
        mean: Array
        if self._inner is None:
            mean = cross.T @ self._alpha
            return mean, np.maximum(self._signal - np.einsum("ij,ij->j", half, half), 1e-10)
        mean = half.T @ self._alpha
        rest = solve_triangular(self._inner, half, lower=True, check_finite=False)
        variance = self._signal - np.einsum("ij,ij->j", half, half) + np.einsum("ij,ij->j", rest, rest)
        return mean, np.maximum(variance, 1e-10)

    def covariance(self, x: Array, other: Array) -> Array:
        """(m, k) between networks `x` (m, columns) and `other` (k, columns), after the observations."""
        prior = self._kernel(self._weights.scaled(x, self._group), self._weights.scaled(other, self._group))
        left, right = self._halves(x)[1], self._halves(other)[1]
        joint: Array = prior - left.T @ right
        if self._inner is not None:
            left = solve_triangular(self._inner, left, lower=True, check_finite=False)
            right = solve_triangular(self._inner, right, lower=True, check_finite=False)
            joint += left.T @ right
        return joint

    def _halves(self, x: Array) -> tuple[Array, Array]:
        """Kernel with the base (base, m), and the same times the inverse root of the base's own."""
        cross = self._kernel(self._base, self._weights.scaled(x, self._group))
        return cross, solve_triangular(self._lower, cross, lower=True, check_finite=False)

    def _kernel(self, a: Array, b: Array) -> Array:
        kernel: Array = self._signal * _matern(squared_distances(a, b), slope=False)[0]
        return kernel


def inducing(y: Array, count: int) -> npt.NDArray[np.int64]:
    """Places of the observations `y` on which a sparse posterior rests: the better half by error, the others evenly over time."""
    order = np.argsort(y, kind="stable")
    best = order[: count // 2]
    rest = np.sort(order[count // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, count - len(best)).astype(np.int64)]
    return np.sort(np.concatenate([best, spread]))


def squared_distances(a: Array, b: Array) -> Array:
    """Between rows of `a` (n, columns) and `b` (m, columns): (n, m)."""
    squared: Array = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * (a @ b.T)
    return np.maximum(squared, 0, out=squared)


def _matern(squared: Array, *, slope: bool = True) -> tuple[Array, Array]:
    """Matérn-5/2 of squared distances, and its derivative by them."""
    root = np.sqrt(5 * squared + 1e-12)
    decay = np.exp(-root)
    kernel = (1 + root + root * root / 3) * decay
    return kernel, -(5 / 6) * (1 + root) * decay if slope else kernel
