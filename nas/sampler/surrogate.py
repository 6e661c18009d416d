"""What the error of networks will be: an exact Gaussian process, and a sparse one for thousands of trials.

One Matérn-5/2 kernel over all features; each group of features has a weight, learned by the marginal likelihood with a
log-normal prior (MacKay 1994, automatic relevance determination). Distances under such a kernel are distances between
scaled vectors, so that everything is a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize
from scipy.special import expit

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

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
DRIFT_PRIOR: Final = (np.log(0.05), 1.0)
"""The same of the drift."""
SPREADING_PRIOR: Final = (0.3, 0.3)
"""Mean and deviation of the spreading."""
TURNING_PRIOR: Final = (np.log(0.1), 1.0)
"""Mean and deviation of the logarithm of the turning."""
KINSHIP_PRIOR: Final = (1.0, 1.5)
"""Mean and deviation of the log odds of the kinship."""
OFFSET: Final = 4.0
"""Variance by which all errors of an earlier study may be off those of this one."""
LEARNED: Final = (NOISE_PRIOR, SIGNAL_PRIOR, DRIFT_PRIOR, SPREADING_PRIOR, TURNING_PRIOR, KINSHIP_PRIOR)


@dataclass(frozen=True)
class Weights:
    """What was learned; all but the spreading as logarithms.

    An observation of less training, with shift s < 0, is taken to be y = f (1 + spreading s) + √turning s h + s b + noise: f is the
    error at the end, h a function of the features like f, by which networks that learn late differ from those that learn soon,
    and b what all are off. This is the linear model of Kennedy and O'Hagan (Biometrika 2000), between levels of any number.
    """

    noise: float
    """Variance by which a network is off what its features say."""
    signal: float
    """Variance of what these say."""
    drift: float
    """Variance of what is by chance in an observation, for each unit of shift."""
    spreading: float
    turning: float
    kinship: float
    """Log odds of the correlation between the errors of a network in two studies (a coregionalization with one value; Bonilla,
    Chai and Williams 2008, Multi-task Gaussian process prediction)."""
    groups: Array
    """Weight of each group of features."""

    def scaled(self, x: Array, group: Numbers) -> Array:
        """`x` (n, columns), each column by the root of its group's weight."""
        scaled: Array = x * np.exp(0.5 * self.groups)[group]
        return scaled

    def kin(self, study: Numbers, other: Numbers) -> Array:
        """(n, m): correlation between observations of these studies."""
        same = _same(study, other)
        correlated: Array = same + (1 - same) * expit(self.kinship)
        return correlated

    def levels(self, shift: Array, other: Array) -> Array:
        """(n, m): what a covariance of errors at the end is multiplied by between observations with these shifts."""
        spread = np.outer(1 + self.spreading * shift, 1 + self.spreading * other)
        both: Array = spread + np.exp(self.turning) * np.outer(shift, other)
        return both


@dataclass(frozen=True)
class Evidence:
    """Observations of networks: what a posterior rests on."""

    x: Array
    """(n, columns): features of the networks."""
    y: Array
    """(n): standardized errors."""
    extra: Array
    """(n): added to the noise of an observation, in multiples of it."""
    shift: Array
    """(n): logarithm of the share of a full training that an observation comes from; see `Weights`."""
    known: Array
    """(n): a variance that is known beforehand, from how it was measured."""
    network: Numbers
    """(n): which network it is. By what a network is off its features, so are all observations of it."""
    study: Numbers
    """(n): which study it comes from: 0 is this one, whose errors are wanted."""

    @property
    def offsets(self) -> Array:
        """(n, n): what observations of an earlier study have in common."""
        earlier = (self.study > 0).astype(np.float64)
        common: Array = OFFSET * np.outer(earlier, earlier) * _same(self.study, self.study)
        return common

    @classmethod
    def exact(cls, x: Array, y: Array) -> Evidence:
        """Observations of as many networks, each trained to its end and measured exactly."""
        none = np.zeros(len(y))
        return cls(x, y, none, none, none, np.arange(len(y)), np.zeros(len(y), dtype=np.int64))

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, places: Numbers) -> Evidence:
        return Evidence(*(getattr(self, item.name)[places] for item in fields(self)))

    def __add__(self, other: Evidence) -> Evidence:
        pairs = [(getattr(self, item.name), getattr(other, item.name)) for item in fields(self)]
        return Evidence(*(np.concatenate(pair) for pair in pairs))


def learn(seen: Evidence, group: Numbers, *, start: Weights | None, steps: int) -> Weights:
    """Weights that make the observations likely; `group` (columns) is the group of each feature."""
    x, y = seen.x, seen.y
    groups, scalars = int(group.max(initial=-1)) + 1, len(LEARNED)
    prior = np.array([*LEARNED, *[(-np.log(max(groups, 1)), WEIGHT_SPREAD)] * groups])
    mean, spread = prior.T
    first = mean
    if start is not None and len(start.groups) == groups:
        scalar = (start.noise, start.signal, start.drift, start.spreading, start.turning, start.kinship)
        first = np.array([*scalar, *start.groups])
    square, shift = x * x, seen.shift
    outer, early = np.outer(shift, shift) + seen.offsets, np.abs(shift)
    same = _same(seen.network, seen.network)
    apart = 1 - _same(seen.study, seen.study)

    def loss(theta: Array) -> tuple[float, Array]:
        noise, signal, drift = np.exp(theta[:3])
        now = _weights(theta)
        scaled = now.scaled(x, group)
        kernel, slope = _matern(squared_distances(scaled, scaled))
        levels = now.levels(shift, shift) * now.kin(seen.study, seen.study)
        ends = signal * kernel + noise * same  # covariance of errors at the end
        matrix = ends * levels + outer
        matrix[np.diag_indices_from(matrix)] += noise * seen.extra + drift * early + seen.known + JITTER
        try:
            lower = cholesky(matrix, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(theta)
        alpha = cho_solve((lower, True), y, check_finite=False)
        inverse = cho_solve((lower, True), np.eye(len(y)), check_finite=False)
        likelihood = 0.5 * y @ alpha + np.log(np.diag(lower)).sum()
        pull = 0.5 * (inverse - np.outer(alpha, alpha))
        gradient = np.empty_like(theta)
        gradient[0] = noise * ((pull * same * levels).sum() + np.diag(pull) @ seen.extra)
        gradient[1] = signal * (pull * kernel * levels).sum()
        gradient[2] = drift * (np.diag(pull) @ early)
        related = pull * ends * now.kin(seen.study, seen.study)
        gradient[3] = 2 * (shift @ related @ (1 + now.spreading * shift))
        gradient[4] = np.exp(now.turning) * (shift @ related @ shift)
        share = expit(now.kinship)
        gradient[5] = (1 - share) * (related * apart * now.levels(shift, shift)).sum()
        # d/dw of a squared distance, summed over all pairs: one product instead of one matrix a group
        force = pull * slope * levels * signal
        by_column = 2 * (force.sum(axis=1) @ square - (x * (force @ x)).sum(axis=0))
        gradient[scalars:] = np.bincount(group, by_column, minlength=groups) * np.exp(theta[scalars:])
        away = (theta - mean) / spread
        return float(likelihood + 0.5 * away @ away), gradient + away / spread

    found = minimize(loss, first, jac=True, method="L-BFGS-B", options={"maxiter": steps}).x
    return _weights(found)


def _weights(theta: Array) -> Weights:
    """From their logarithms in one array."""
    noise, signal, drift, spreading, turning, kinship = theta[: len(LEARNED)].tolist()
    return Weights(noise, signal, drift, spreading, turning, kinship, theta[len(LEARNED) :])


class Posterior:
    """The error of any network, after the observations `seen`."""

    def __init__(self, weights: Weights, seen: Evidence, group: Numbers) -> None:
        self._weights, self._group = weights, group
        self._signal = float(np.exp(weights.signal))
        scaled = weights.scaled(seen.x, group)
        apart = self.noise * seen.extra + self.drift * np.abs(seen.shift) + seen.known + JITTER
        if len(seen) <= EXACT_AT_MOST:
            self._base, self._seen = scaled, seen
            matrix = self._kernel(scaled, scaled) + self.noise * _same(seen.network, seen.network)
            levels = weights.levels(seen.shift, seen.shift) * weights.kin(seen.study, seen.study)
            matrix = matrix * levels + np.outer(seen.shift, seen.shift) + seen.offsets
            matrix[np.diag_indices_from(matrix)] += apart
            self._lower = cholesky(matrix, lower=True, check_finite=False)
            self._alpha = cho_solve((self._lower, True), seen.y, check_finite=False)
            self._inner: Array | None = None
            return
        # Deterministic training conditional (Quiñonero-Candela and Rasmussen 2005, section 5)
        noise = self.noise + apart
        keep = inducing(seen.y, EXACT_AT_MOST)
        self._base, self._seen = scaled[keep], seen[keep]
        some, study = self._seen.shift, self._seen.study
        levels = weights.levels(some, some) * weights.kin(study, study)
        inner = self._kernel(self._base, self._base) * levels + np.outer(some, some) + self._seen.offsets
        inner[np.diag_indices_from(inner)] += 1e-4 * self._signal
        self._lower = cholesky(inner, lower=True, check_finite=False)
        levels = weights.levels(some, seen.shift) * weights.kin(study, seen.study)
        cross = self._kernel(self._base, scaled) * levels + np.outer(some, seen.shift)
        cross += np.where(study > 0, OFFSET, 0.0)[:, None] * _same(study, seen.study)
        half = solve_triangular(self._lower, cross, lower=True, check_finite=False) / np.sqrt(noise)
        self._inner = cholesky(np.eye(len(keep)) + half @ half.T, lower=True, check_finite=False)
        self._alpha = cho_solve((self._inner, True), half @ (seen.y / np.sqrt(noise)), check_finite=False)

    @property
    def noise(self) -> float:
        """Variance by which a network is off what its features say."""
        return float(np.exp(self._weights.noise))

    @property
    def drift(self) -> float:
        """Variance of what is by chance in an observation, for each unit of shift."""
        return float(np.exp(self._weights.drift))

    @property
    def _factors(self) -> Array:
        """(base, 1): between the observations and errors at the end."""
        this = np.zeros(1, dtype=np.int64)
        return self._weights.levels(self._seen.shift, np.zeros(1)) * self._weights.kin(self._seen.study, this)

    def early(self, variance: Array, shift: float) -> tuple[Array, Array]:
        """Variance of what will be observed with this shift of networks with this `variance` at the end, and their covariance."""
        spreading = 1 + self._weights.spreading * shift
        turning = float(np.exp(self._weights.turning)) * shift**2 * (self._signal + self.noise)
        observed: Array = variance * spreading**2 + turning + self.drift * abs(shift)
        return observed, variance * spreading

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Mean and variance of what the features say of networks `x` (m, columns)."""
        cross, half = self._halves(x)
        mean: Array
        if self._inner is None:
            mean = cross.T @ self._alpha
            return mean, np.maximum(self._signal - np.einsum("ij,ij->j", half, half), 1e-10)
        mean = half.T @ self._alpha
        rest = solve_triangular(self._inner, half, lower=True, check_finite=False)
        variance = self._signal - np.einsum("ij,ij->j", half, half) + np.einsum("ij,ij->j", rest, rest)
        return mean, np.maximum(variance, 1e-10)

    def foretold(self) -> float:
        """Mean logarithm of the density of each observation of this study, foretold from all others (Rasmussen and Williams 2006,
        equations 5.10 to 5.12). The posterior must not be a sparse one.
        """
        assert self._inner is None
        variance = 1 / np.diag(cho_solve((self._lower, True), np.eye(len(self._alpha)), check_finite=False))
        density = -0.5 * (np.log(2 * np.pi * variance) + self._alpha**2 * variance)
        return float(density[self._seen.study == 0].mean())

    def themselves(self, x: Array, network: Numbers) -> tuple[Array, Array]:
        """Mean and variance of networks `x` (m, columns) with what each is off its features, as far as it was observed.

        Of a sparse posterior: what `__call__` gives, with the whole variance of that.
        """
        if self._inner is not None:
            mean, variance = self(x)
            return mean, variance + self.noise
        cross = self._kernel(self._base, self._weights.scaled(x, self._group))
        cross = (cross + self.noise * _same(self._seen.network, network)) * self._factors
        half = solve_triangular(self._lower, cross, lower=True, check_finite=False)
        variance = self._signal + self.noise - np.einsum("ij,ij->j", half, half)
        expected: Array = cross.T @ self._alpha
        return expected, np.maximum(variance, 1e-10)

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
        cross = self._kernel(self._base, self._weights.scaled(x, self._group)) * self._factors
        return cross, solve_triangular(self._lower, cross, lower=True, check_finite=False)

    def _kernel(self, a: Array, b: Array) -> Array:
        kernel: Array = self._signal * _matern(squared_distances(a, b), slope=False)[0]
        return kernel


def inducing(y: Array, count: int) -> Numbers:
    """Places of the observations `y` on which a sparse posterior rests: the better half by error, the others evenly over time."""
    order = np.argsort(y, kind="stable")
    best = order[: count // 2]
    rest = np.sort(order[count // 2 :])
    spread = rest[np.linspace(0, len(rest) - 1, count - len(best)).astype(np.int64)]
    return np.sort(np.concatenate([best, spread]))


def _same(network: Numbers, other: Numbers) -> Array:
    """(n, m): 1 where both are the same network."""
    same: Array = (network[:, None] == other[None]).astype(np.float64)
    return same


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
