"""What a law gets wrong of mixtures that it has not seen, as random functions of the run.

Noise and parameters leave little open once runs are many; a law that is wrong stays wrong. How
wrong is seen on left-out mixtures (cross-conformal prediction, Vovk 2015): the error of a law is
taken for a Gaussian process over the mixtures whose size makes 90 % intervals hold 90 % of them.
It grows with the distance from the runs, and beyond the largest scale with what the law says of
the way there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from mixscale.fit.arrays import Floats, Ints
from mixscale.fit.constraints.feasible import Feasible
from mixscale.fit.inputs.mixture_order import groups_of_mixtures
from mixscale.fit.inputs.points import PlannedRun, Points
from mixscale.fit.inputs.runs import MIXTURE, Runs
from mixscale.fit.laws.base import Draws
from mixscale.fit.uncertainty.intervals import NORMAL_90
from mixscale.fit.uncertainty.noise import student_scales
from mixscale.fit.uncertainty.reach import (
    REPEATS,
    Evidence,
    Reach,
    most_epochs,
    with_less_repeated,
)

FOLDS = 12
"""Groups of mixtures that are left out together."""
_QUANTILE = 0.9
_NEIGHBOURS = 3
_LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Of the median distance between runs: how far the error of one mixture tells of another's."""
_ROUGH_LENGTH = 0.25
_ROUGH_PARTS = (0.05, 0.3, 0.6, 0.9)
"""Of the variance: what neighbours do not share."""
_SMOOTH_LENGTHS = (1.0, 2.0, 4.0)
_WHITE_PARTS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
"""Of the variance: what runs do not share with others about as far away as runs usually are."""
_LEAST_SHARED = 0.25
"""Part that counts as the law's error whatever runs tell of it: without, three of four changes on
RegMix lost, as far as single runs tell."""
_MOST_COMPARED = 200
_WAVES = 200
_REACH_DEGREES = 4.0


@dataclass(frozen=True, kw_only=True)
class ModelError:
    """Size and reach of the law's error of one objective."""

    runs: Floats
    """(runs, domains) coordinates of the runs."""
    typical: float
    """Distance of a left-out mixture from the runs."""
    size: float
    """Deviation of the error at that distance."""
    length: float
    rough: float
    """Part of the variance that only close neighbours share."""
    rough_length: float
    degrees: float
    shared: float
    """Part of the variance that mixtures share with others as far away as runs are from each other:
    a law is wrong alike of like mixtures. The rest is the noise of single runs, or cannot be told
    from it."""
    shared_length: float
    tokens: Reach
    """To larger token budgets."""
    model: Reach
    """To larger models."""
    epochs: Floats | None
    """(domains,) most often that text of each domain was read by the largest models that were run;
    None where not known."""

    def growth(self, points: Points) -> Floats:
        """(points,) the error's deviation there."""
        distance = nearest(coordinates(points), self.runs) / self.typical
        return self.size * np.sqrt((1 + distance**2) / 2)


@dataclass(frozen=True, kw_only=True)
class DrawsWithError:
    """Draws of a law with an error of its own for each."""

    draws: Draws
    """What the noise leaves open."""
    predict: Callable[[Points], Floats]
    """(points,) objective under the law itself."""
    error: ModelError
    scales: Floats
    """(draws,) factors on the error: its size is an estimate."""
    waves: Floats
    """(3, waves, domains) directions of the smooth, the rough and the reaching part."""
    heights: Floats
    """(draws, 3, 2, waves) normal."""
    reach: Floats
    """(draws,) common error of the way to a larger scale, in its deviations."""
    repeats: Floats
    """(draws,) what repeats cost more than the law says, as part of that, beyond those measured."""

    def optima(self, feasible: Feasible, run: PlannedRun) -> Floats:
        """(draws, domains) optimal shares of redrawn experiments: a fit does not see its error."""
        return self.draws.optima(feasible, run)

    def predict_objective(self, points: Points) -> Floats:
        """(draws,) objective of as many points as draws, or of one, each under its own draw."""
        return self.draws.predict_objective(points) + self._errors(points)

    def difference(self, first: Points, second: Points) -> tuple[Floats, Floats]:
        """(draws,) mean and deviation of one point's objective less another's, under each draw.

        It is the difference that is expected of the mixtures, without the noise of single runs. The
        law's own error is not drawn but left as a deviation: it is Gaussian under each draw.
        """
        error = self.error
        means = self.draws.predict_objective(first) - self.draws.predict_objective(second)
        grown = float(error.growth(first)[0]), float(error.growth(second)[0])
        apart = ((coordinates(first) - coordinates(second)) ** 2).sum()
        lengths = np.array([error.shared_length, float(_lengths(error)[2])])
        like, far = np.exp(-0.5 * apart / lengths**2).tolist()
        variance = self.scales**2 * error.shared * _apart_variance(*grown, like)
        ways = self._ways(first), self._ways(second)
        first_drift, second_drift = (float(self._drift(way, shared=True)[0]) for way in ways)
        commons = [float(self._common(way)[0]) for way in ways]
        means = means + self.reach * (commons[0] - commons[1])
        costs = [float(self._unmeasured_repeats(points)[0]) for points in (first, second)]
        means = means + self.repeats * (costs[0] - costs[1])
        return means, np.sqrt(variance + _apart_variance(first_drift, second_drift, far))

    def _ways(self, points: Points) -> Floats:
        """(2, points) change of the objective from the largest measured budget, and model."""
        fewer = self.error.tokens.factor(points.totals)
        at_budget = replace(points, tokens=points.tokens * fewer[:, None])
        ways = np.zeros((2, len(points)))
        if (fewer < 1).any():
            ways[0] = np.abs(self.predict(points) - self.predict(at_budget))
        if points.parameters is None:
            return ways
        smaller = self.error.model.factor(points.parameters)
        if (smaller < 1).any():
            at_size = replace(at_budget, parameters=points.parameters * smaller)
            ways[1] = np.abs(self.predict(at_budget) - self.predict(at_size))
        return ways

    def _unmeasured_repeats(self, points: Points) -> Floats:
        """(points,) what the law says that repeats cost beyond those of the runs.

        A larger model than any that was run has none measured: the larger the model, the sooner
        repeated text harms it (Muennighoff et al., arXiv 2305.16264, sec. 5).
        """
        epochs = self.error.epochs
        if epochs is None:
            return np.zeros(len(points))
        measured = np.ones((len(points), 1), dtype=bool)
        if points.parameters is not None:
            measured = self.error.model.factor(points.parameters)[:, None] == 1
        less = with_less_repeated(points, np.where(measured, epochs, 1.0))
        if less is None:
            return np.zeros(len(points))
        return np.maximum(self.predict(points) - self.predict(less), 0.0)

    def _common(self, ways: Floats) -> Floats:
        """(points,) deviation of what all mixtures share of the ways."""
        return ways[0] * self.error.tokens.common + ways[1] * self.error.model.common

    def _drift(self, ways: Floats, *, shared: bool) -> Floats:
        """(points,) deviation of what they do not share."""
        reaches = (self.error.tokens, self.error.model)
        drifts = [
            reach.drift(way, reach.apart_shared if shared else reach.apart)
            for reach, way in zip(reaches, ways, strict=True)
        ]
        return np.hypot(*drifts)

    def _errors(self, points: Points) -> Floats:
        """(draws,) errors."""
        error = self.error
        smooth, rough, far = self._processes(coordinates(points))
        mixed = np.sqrt(1 - error.rough) * smooth + np.sqrt(error.rough) * rough
        errors = error.growth(points) * self.scales * mixed
        ways = self._ways(points)
        errors = errors + self._common(ways) * self.reach + self._drift(ways, shared=False) * far
        return errors + self._unmeasured_repeats(points) * self.repeats

    def _processes(self, x: Floats) -> Floats:
        """(3, draws) values of the three processes at one point, or each draw's at its own."""
        angles = np.einsum("pd,kwd->kpw", x, self.waves)
        parts = np.stack([np.cos(angles), np.sin(angles)], 2) / np.sqrt(self.waves.shape[1])
        if len(x) == 1:
            return np.einsum("nkcw,kcw->kn", self.heights, parts[:, 0])
        return np.einsum("nkcw,kncw->kn", self.heights, parts)


def with_model_error(
    draws: Draws, predict: Callable[[Points], Floats], error: ModelError,
    rng: np.random.Generator, count: int,
) -> DrawsWithError:  # fmt: skip
    """Give every draw an error of its own.

    Args:
        draws: What the noise leaves open.
        predict: (points,) objective under the law itself.
        error: The law's error.
        rng: Of the errors alone: the draws of other parts do not depend on it.
        count: Draws.
    """
    of_waves, of_heights, of_scales, of_reach, of_repeats = rng.spawn(5)
    lengths = _lengths(error)
    domains = error.runs.shape[1]
    return DrawsWithError(
        draws=draws,
        predict=predict,
        error=error,
        scales=student_scales(of_scales, count, error.degrees),
        waves=of_waves.normal(size=(3, _WAVES, domains)) / lengths[:, None, None],
        heights=of_heights.normal(size=(count, 3, 2, _WAVES)),
        reach=of_reach.standard_t(_REACH_DEGREES, count),
        repeats=np.expm1(REPEATS * of_repeats.normal(size=count)),
    )


def _lengths(error: ModelError) -> Floats:
    """(3,) of the smooth, the rough and the reaching part."""
    return np.array([error.length, error.rough_length, 2 * error.rough_length])


def _apart_variance(first: float, second: float, likeness: float) -> float:
    """Of the difference of two values with these deviations."""
    return max(first**2 + second**2 - 2 * likeness * first * second, 0.0)


def coordinates(points: Points) -> Floats:
    """(points, domains) roots of the shares: their distance is Hellinger's, up to a factor."""
    return np.sqrt(np.maximum(points.shares, 0.0))


def nearest(x: Floats, runs: Floats) -> Floats:
    """(points,) mean distance to the closest runs."""
    distance = np.sqrt(np.maximum(_squares(x, runs), 0.0))
    close = min(_NEIGHBOURS, distance.shape[1])
    return np.partition(distance, close - 1, axis=1)[:, :close].mean(1)


def _squares(x: Floats, y: Floats) -> Floats:
    return (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T


def folds_of(runs: Runs, counted: Floats) -> Floats:
    """(folds, runs) weights that leave out whole mixtures at all scales, in groups.

    Runs of one mixture at several scales, checkpoints of one run among them, would give each
    other's results away. Where there is one mixture, or two, whole runs are left out.

    Args:
        runs: All runs.
        counted: (runs,) weights of the runs that are fitted at all.
    """
    of_run = groups_of_mixtures(runs, [True] * len(runs), FOLDS)
    if _too_few(set(of_run.tolist())):
        of_run = runs.independent % FOLDS
    return counted * (of_run != np.arange(of_run.max() + 1)[:, None])


def calibrate(
    runs: Runs,
    weights: Floats,
    missed: Floats,
    predicted: Floats,
    drawn: Floats,
    noise: float,
    counted: Floats,
) -> ModelError:
    """The error that left-out mixtures show.

    Args:
        runs: All runs.
        weights: (folds, runs) as of `folds_of`.
        missed: (runs,) measured objective less that of a fit without the run's mixture.
        predicted: (runs,) objective under the law of all runs.
        drawn: (draws, runs) objective there under each draw.
        noise: Variance of a run that is no error of the law; 0 where it is not known.
        counted: (runs,) weights of the runs that are fitted at all.
    """
    kept = counted > 0
    variance = drawn.var(0) + noise
    x = coordinates(runs.points)
    distance = np.full(len(runs), np.nan)
    for weight in weights:
        out = kept & (weight == 0)
        if out.any() and (weight > 0).any():
            distance[out] = nearest(x[out], x[weight > 0])
    used = kept & np.isfinite(distance) & np.isfinite(missed)
    typical = max(float(np.median(distance[used])), 1e-6)
    growth = np.sqrt((1 + (distance[used] / typical) ** 2) / 2)
    size = _size(np.abs(missed[used]), variance[used], growth)
    # Draws that move all mixtures alike hold every loss, and tell mixtures apart no better.
    of_kind = runs.kinds[used]
    apart = np.abs(_centred(missed[used], of_kind))
    size = max(size, _size(apart, _centred(drawn[:, used], of_kind).var(0) + noise, growth))
    # One scale and size: a mixture's errors at two of them are not those of two close mixtures.
    largest = used & runs.is_largest_size
    largest = largest & (runs.scale == runs.scale[largest].max()) if largest.any() else used
    between = np.sqrt(np.maximum(_squares(x[largest], x[largest]), 0.0))
    median = max(float(np.median(between[between > 1e-9])) if (between > 1e-9).any() else 1.0, 1e-6)
    deviation = np.full(len(runs), np.nan)
    deviation[used] = np.sqrt(variance[used] + (size * growth) ** 2 + 1e-300)
    standard = missed[largest] / deviation[largest]
    length, rough = _correlation(standard, between / median)
    free = np.array([changed == MIXTURE for changed in runs.changed])[largest]
    pairs = _far_pairs(np.where(free[:, None] & free, between / median, 0.0))
    like = _likeness(between / median, length, rough)[tuple(pairs)]
    of_pair = missed[largest][pairs], drawn[:, largest][:, pairs], growth[largest[used]][pairs]
    size = max(size, _size_between(*of_pair, like, noise))
    shared, shared_length = _shared(standard, between / median)
    own = (1 - shared) * deviation**2
    evidence = Evidence(runs=runs, missed=missed, predicted=predicted, own=own)
    return ModelError(
        runs=x[kept],
        typical=typical,
        size=size,
        length=length * median,
        rough=rough,
        rough_length=_ROUGH_LENGTH * median,
        shared=shared,
        shared_length=shared_length * median,
        degrees=max(float(_left_out(runs.where(used)) - 1), 3.0),
        tokens=evidence.of_budgets(),
        model=evidence.of_sizes(),
        epochs=most_epochs(runs),
    )


def _left_out(runs: Runs) -> int:
    """How many runs, or mixtures, were left out one by one."""
    mixtures = set(runs.mixtures)
    return int(runs.independent.max()) + 1 if _too_few(mixtures) else len(mixtures)


def _too_few(mixtures: Collection[object]) -> bool:
    """Whether whole runs are left out in place of mixtures."""
    return len(mixtures) < 3


def _centred(values: Floats, kind: Ints) -> Floats:
    """(..., runs) less the mean of the runs of the same kind."""
    same = (kind[:, None] == kind).astype(np.float64)
    return values - values @ (same / same.sum(0))


def _size(missed: Floats, variance: Floats, growth: Floats) -> float:
    """The size with which 90 % intervals hold 90 % of the left-out runs, one more counted."""
    count = len(missed)
    place = min(int(np.ceil(_QUANTILE * (count + 1))), count) - 1
    low, high = 0.0, float(2 * missed.max(initial=0.0) / growth.min(initial=1.0)) + 1e-300
    for _ in range(50):
        middle = 0.5 * (low + high)
        ratio = np.sort(missed / np.sqrt(variance + (middle * growth) ** 2 + 1e-300))[place]
        low, high = (middle, high) if ratio > NORMAL_90 else (low, middle)
    return 0.5 * (low + high)


def _size_between(
    missed: Floats, drawn: Floats, growth: Floats, likeness: Floats, noise: float
) -> float:
    """The size with which 90 % intervals hold 90 % of the differences between left-out runs.

    Args:
        missed: (2, pairs) what fits without the runs miss them by.
        drawn: (draws, 2, pairs) objective under each draw.
        growth: (2, pairs) of the error with the distance.
        likeness: (pairs,) correlation of the errors of a pair.
        noise: Variance of a run that is no error of the law.
    """
    if not len(likeness):
        return 0.0
    variance = (drawn[:, 0] - drawn[:, 1]).var(0) + 2 * noise
    apart = (growth**2).sum(0) - 2 * likeness * growth.prod(0)
    return _size(np.abs(missed[0] - missed[1]), variance, np.sqrt(np.maximum(apart, 1e-12)))


def _far_pairs(distance: Floats) -> Ints:
    """(2, pairs) runs that are at least as far apart as is usual, some of very many.

    Gains are over such mixtures. What close ones differ by would rest on how their errors are
    correlated, which few runs tell. Around a base each group of left-out runs holds all that is
    known of a domain, so that what two of them differ by is missed by more than a fit to all would.
    """
    rows = _some_rows(len(distance))
    pairs = rows[np.stack(np.triu_indices(len(rows), 1))]
    return pairs[:, distance[tuple(pairs)] >= 1.0]


def _shared(standard: Floats, distance: Floats) -> tuple[float, float]:
    """Part of the variance that is smooth, with its length in median distances.

    The mean over all parts and lengths by their likelihood: few runs tell little of either.
    """
    values, distance = _some(standard, distance)
    found = []
    for length in _SMOOTH_LENGTHS:
        smooth = np.exp(-0.5 * (distance / length) ** 2)
        for white in _WHITE_PARTS:
            covariance = (1 - white) * smooth + (white + 1e-3) * np.eye(len(values))
            found.append((_log_likelihood(covariance, values), 1 - white, length))
    likelihood, parts, lengths = np.array(found).T
    weight = np.exp(likelihood - likelihood.max())
    part = float(weight @ parts / weight.sum())
    return max(part, _LEAST_SHARED), float(weight @ lengths / weight.sum())


def _some(standard: Floats, distance: Floats) -> tuple[Floats, Floats]:
    """At most `_MOST_COMPARED` of the runs."""
    rows = _some_rows(len(standard))
    return standard[rows], distance[np.ix_(rows, rows)]


def _some_rows(count: int) -> Ints:
    """At most `_MOST_COMPARED` of so many runs."""
    if count <= _MOST_COMPARED:
        return np.arange(count)
    return np.linspace(0, count - 1, _MOST_COMPARED).round().astype(np.int64)


def _likeness(distance: Floats, length: float, rough: float) -> Floats:
    """Correlation of the errors of two runs, by their distance in median distances."""
    near = np.exp(-0.5 * (distance / _ROUGH_LENGTH) ** 2)
    return (1 - rough) * np.exp(-0.5 * (distance / length) ** 2) + rough * near


def _log_likelihood(covariance: Floats, values: Floats) -> float:
    """Of values with this covariance times an unknown size."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, values)
    size = np.log((white**2).mean() + 1e-300)
    return float(-np.log(np.diag(root)).sum() - 0.5 * len(values) * size)


def _correlation(standard: Floats, distance: Floats) -> tuple[float, float]:
    """The likeliest length, in median distances, with the part that is rough."""
    values, distance = _some(standard, distance)
    best, answer = -np.inf, (_LENGTHS[0], _ROUGH_PARTS[-1])
    for length in _LENGTHS:
        for rough in _ROUGH_PARTS:
            covariance = _likeness(distance, length, rough) + 1e-3 * np.eye(len(values))
            likelihood = _log_likelihood(covariance, values)
            if likelihood > best:
                best, answer = likelihood, (length, rough)
    return answer
